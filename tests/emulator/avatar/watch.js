// Joins a room and looks at what is shown and heard there; see test_browser.py.

window.join = async function join(url, token) {
  const { Room, RoomEvent } = LivekitClient;
  const video = document.body.appendChild(document.createElement("video"));
  const state = { frames: 0, events: [] };
  window.seen = state;
  const count = () => {
    state.frames += 1;
    video.requestVideoFrameCallback(count);
  };
  const room = new Room();
  room.on(RoomEvent.TrackSubscribed, (track) => {
    if (track.kind === "video") {
      track.attach(video);
      video.requestVideoFrameCallback(count);
    } else {
      track.attach(document.body.appendChild(document.createElement("audio"))); // else Chromium plays nothing
      const context = new AudioContext();
      state.analyser = context.createAnalyser();
      context.createMediaStreamSource(track.mediaStream).connect(state.analyser);
    }
  });
  room.on(RoomEvent.DataReceived, (data) => state.events.push(JSON.parse(new TextDecoder().decode(data))));
  state.video = video;
  await room.connect(url, token);
};

/** The next so many pictures: how much of the mouth is dark in each, and how loud it was meanwhile. */
window.look = async function look(pictures) {
  const { video, analyser } = window.seen;
  const canvas = new OffscreenCanvas(50, 32);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const sound = new Float32Array(analyser.fftSize);
  const looks = [];
  while (looks.length < pictures) {
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    const [kx, ky] = [video.videoWidth / 640, video.videoHeight / 360];
    pen.drawImage(video, 295 * kx, 218 * ky, 50 * kx, 32 * ky, 0, 0, 50, 32);
    const pixels = pen.getImageData(0, 0, 50, 32).data;
    let dark = 0;
    for (let i = 0; i < pixels.length; i += 4) dark += pixels[i] + pixels[i + 1] + pixels[i + 2] < 200;
    analyser.getFloatTimeDomainData(sound);
    looks.push({ open: dark / 1600 > 0.05, loud: Math.hypot(...sound) / Math.sqrt(sound.length) > 0.01 });
  }
  return looks;
};
