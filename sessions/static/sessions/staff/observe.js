/** Lets an operator observe a running session as a hidden participant that publishes nothing. */

import { one, say, showOnly } from "../lib/dom.js";
import { LiveKit } from "../lib/livekit.js";

const form = one("#observer", HTMLFormElement);
const video = one("#video", HTMLVideoElement);
const room = new LiveKit.Room({ adaptiveStream: false });

room.on(LiveKit.RoomEvent.TrackSubscribed, (track) => {
  if (track.kind === LiveKit.Track.Kind.Video) track.attach(video);
  else form.append(track.attach()); // the avatar and the user have an element each
});
room.on(LiveKit.RoomEvent.TrackUnsubscribed, (track) => track.detach());
room.on(LiveKit.RoomEvent.Disconnected, () => show("over"));

/** @param {"ready" | "watching" | "over" | "refused"} state */
function show(state) {
  showOnly("data-when", state);
  form.dataset.state = state;
}

async function observe() {
  const answer = await fetch(location.href, { method: "POST", body: new FormData(form) });
  if (!answer.ok) {
    const { words = "" } = await answer.json().catch(() => ({}));
    if (words) say(one("[data-when=refused]", HTMLElement), words);
    return show("refused");
  }
  const { url, token } = await answer.json();
  await room.connect(url, token);
  show("watching");
}

// Without this script, submitting the form would show the token.
one("#observer button", HTMLButtonElement).disabled = false;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  observe().catch(() => show("refused"));
});
