// The published SDK as an application uses it: nothing of it is changed, everything it tells is kept.
import StreamingAvatar, * as sdk from "@heygen/streaming-avatar";

const received = [];
const video = document.getElementById("video");
let avatar;

/** Start an avatar; resolves when the SDK says so and the picture is there. */
async function start(token, request) {
  avatar = new StreamingAvatar({ token });
  for (const kind of Object.values(sdk.StreamingEvents)) {
    avatar.on(kind, ({ detail }) =>
      received.push({ kind, message: detail?.message, taskId: detail?.task_id, detail: String(detail) }),
    );
  }
  const ready = new Promise((resolve) => avatar.on(sdk.StreamingEvents.STREAM_READY, ({ detail }) => resolve(detail)));
  const session = await avatar.createStartAvatar(request);
  video.srcObject = await ready;
  await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  return session.session_id;
}

/** Return everything received, once it contains an event of this kind. */
async function until(kind) {
  while (!received.some((event) => event.kind === kind)) await new Promise((resolve) => setTimeout(resolve, 20));
  return received.splice(0);
}

/** Resolves once so many more pictures were shown. */
async function pictures(count) {
  for (let shown = 0; shown < count; shown += 1)
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
}

window.app = { start, until, pictures, video, call: (name, ...args) => avatar[name](...args) };
