// The published SDK as an application uses it: nothing of it is changed, everything it tells is kept.
import { AgentEventsEnum, LiveAvatarSession, SessionEvent } from "@heygen/liveavatar-web-sdk";

const received = [];
const video = document.getElementById("video");
let session;

/** Start a session; resolves when the SDK says so and the picture is there. */
async function start(token, config) {
  session = new LiveAvatarSession(token, config);
  for (const kind of Object.values(AgentEventsEnum))
    session.on(kind, (event) => received.push({ kind, text: event.text }));
  session.on(SessionEvent.SESSION_DISCONNECTED, (reason) => received.push({ kind: "disconnected", text: reason }));
  const ready = new Promise((resolve) => session.on(SessionEvent.SESSION_STREAM_READY, resolve));
  await session.start();
  await ready;
  session.attach(video);
  await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  return { state: session.state, seconds: session.maxSessionDuration };
}

/** Return everything received, once it contains an event of this kind. */
async function until(kind) {
  while (!received.some((event) => event.kind === kind)) await new Promise((resolve) => setTimeout(resolve, 20));
  return received.splice(0);
}

const call = async (name, ...args) => {
  await session[name](...args);
};
const voice = async (name, ...args) => {
  await session.voiceChat[name](...args);
};
const refused = (token, config) =>
  new LiveAvatarSession(token, config).start().then(
    () => "",
    (error) => error.message,
  );

window.app = { start, until, call, voice, refused, video };
