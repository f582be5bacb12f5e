import assert from "node:assert/strict";
import { test } from "node:test";
import { FINE, OUTSIDE } from "../../../sessions/static/sessions/recovery/browser-facts.js";
import { diagnose, refusalOf } from "../../../sessions/static/sessions/recovery/diagnosis.js";
import { isDark } from "../../../sessions/static/sessions/recovery/frame-watch.js";

// As livekit-client 2 throws it: by its name it is always the same.
class ConnectionError extends Error {
  constructor(reason, status) {
    super("could not establish signal connection");
    Object.assign(this, { reason: REASONS.indexOf(reason), status, reasonName: "ServerUnreachable" });
  }
}
const REASONS = [
  "NotAllowed",
  "ServerUnreachable",
  "InternalError",
  "Cancelled",
  "LeaveRequest",
  "Timeout",
  "WebSocket",
  "ServiceNotFound",
];
const LiveKit = {
  ConnectionError,
  ConnectionErrorReason: Object.fromEntries(REASONS.map((name, number) => [name, number])),
};

const IN = {
  ...FINE,
  ...OUTSIDE,
  isIn: true,
  isBlocked: false,
  hadPicture: false,
  provider: "",
  isOtherRoom: false,
  isPatienceOver: false,
};
const WITH_AVATAR = { ...IN, hasAvatar: true, hasSound: true };
const WITH_VIDEO = { ...WITH_AVATAR, hasVideo: true };
const OUT = { ...IN, isIn: false };

const CASES = [
  ["requirement 56: joined before the avatar was active", { ...IN, provider: "connecting" }, "early"],
  ["still alone after joining again", { ...IN, provider: "connecting", isPatienceOver: true }, "provider_not_live"],
  ["requirement 71: the provider no longer lists the session", { ...IN, provider: "missing" }, "provider_not_live"],
  ["requirement 57: the token opened another room", { ...IN, isOtherRoom: true, provider: "connecting" }, "token"],
  ["requirement 57: LiveKit refused the token", { ...OUT, refusal: "token" }, "token"],
  ["requirement 60: live at the provider, and not to be seen from here", { ...IN, provider: "connected" }, "slow_room"],
  ["requirement 60: the room is not there yet", { ...OUT, refusal: "slow_room" }, "slow_room"],
  ["the avatar was here, and left", { ...IN, hadPicture: true }, "avatar_left"],
  ["the room was closed under us", { ...OUT, refusal: "closed" }, "avatar_left"],
  ["requirement 65: no track at all is the server session's fault", WITH_AVATAR, "no_track"],
  ["requirement 54: frozen", { ...WITH_VIDEO, hadPicture: true }, "frozen"],
  ["black", { ...WITH_VIDEO, isDark: true }, "black"],
  ["a track without a picture", WITH_VIDEO, "no_picture"],
  ["requirement 58: HTTP, and nothing else explains it", { ...WITH_VIDEO, isSecure: false }, "insecure"],
  ["requirement 59: playing is blocked", { ...WITH_VIDEO, isBlocked: true }, "playback_blocked"],
  ["requirement 61: the element is hidden", { ...WITH_VIDEO, isHidden: true }, "hidden"],
  ["a weak connection", { ...WITH_VIDEO, quality: "poor", hadPicture: true }, "network"],
  ["no network at all", { ...WITH_VIDEO, isOnline: false }, "network"],
  ["LiveKit reconnects", { ...WITH_VIDEO, isReconnecting: true }, "network"],
  ["the way into the room does not get through", { ...OUT, joiningFor: 3_000 }, "network"],
  ["no WebRTC", { ...OUT, hasWebRTC: false }, "no_webrtc"],
];

for (const [name, facts, verdict] of CASES) test(`${name}: ${verdict}`, () => assert.equal(diagnose(facts), verdict));

test("a refused join is diagnosed as bad token, missing room or blocked network", () => {
  const refusal = (...args) => refusalOf(LiveKit, new ConnectionError(...args));
  assert.equal(refusal("NotAllowed", 401), "token");
  assert.equal(refusal("NotAllowed", 404), "slow_room");
  assert.equal(refusal("InternalError"), "slow_room");
  for (const reason of ["ServerUnreachable", "Timeout", "WebSocket"]) assert.equal(refusal(reason), "network");
  assert.equal(refusalOf(LiveKit, new Error("something else")), "network");
});

test("a black frame is told from a dark face", () => {
  const frame = (...pixel) => Array.from({ length: 4 * 144 }, (_, place) => [...pixel, 255][place % 4]);
  assert.equal(isDark(frame(0, 0, 0)), true);
  assert.equal(isDark(frame(16, 16, 16)), true); // video's own black
  assert.equal(isDark([...frame(0, 0, 0).slice(4), 60, 40, 30, 255]), false);
});
