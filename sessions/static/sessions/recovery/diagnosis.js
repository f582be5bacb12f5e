/**
 * Why there is no video: the first cause that explains the facts. The page has the texts for each cause.
 *
 * @typedef {object} Facts
 * @property {boolean} hasWebRTC
 * @property {boolean} isSecure  HTTPS or localhost
 * @property {boolean} isOnline
 * @property {boolean} isHidden  the tab, or the video in it
 * @property {boolean} isBlocked  the browser plays only after a tap
 * @property {boolean} isIn  in the room
 * @property {boolean} isReconnecting
 * @property {number} joiningFor  milliseconds, while not in the room
 * @property {"" | "token" | "slow_room" | "network" | "closed"} refusal  of the last attempt to join; closed: the room is gone
 * @property {boolean} hasAvatar  another participant is in the room
 * @property {boolean} hasVideo  its video track is subscribed
 * @property {boolean} hadPicture
 * @property {boolean} isDark  frames arrive and are black
 * @property {string} quality  LiveKit's connection quality
 * @property {string} provider  the session's status at the provider; empty until it was asked
 * @property {boolean} isOtherRoom  the token opened a room that is not this session's
 * @property {boolean} isPatienceOver  joining again did not help
 *
 * @typedef {"no_webrtc" | "insecure" | "network" | "token" | "slow_room" | "early" | "provider_not_live" | "avatar_left"
 *   | "no_track" | "black" | "frozen" | "playback_blocked" | "hidden" | "no_picture"} Verdict
 */

/** A join that takes longer than this is blocked by the network. */
const SLOW_JOIN_MS = 2_000;

/**
 * @param {Facts} facts
 * @returns {Verdict}
 */
export function diagnose(facts) {
  if (!facts.hasWebRTC) return "no_webrtc";
  if (!facts.isOnline || facts.isReconnecting) return "network";
  if (!facts.isIn) return outside(facts);
  if (facts.isBlocked) return "playback_blocked";
  if (!facts.hasAvatar) return alone(facts);
  if (!facts.hasVideo) return "no_track";
  if (facts.isHidden) return "hidden";
  if (facts.isDark) return "black";
  if (facts.quality === "poor" || facts.quality === "lost") return "network";
  return facts.hadPicture ? "frozen" : facts.isSecure ? "no_picture" : "insecure";
}

/** @param {Facts} facts @returns {Verdict} */
function outside({ refusal, joiningFor, provider }) {
  if (refusal === "closed") return provider === "missing" ? "provider_not_live" : "avatar_left";
  if (refusal) return refusal;
  return joiningFor > SLOW_JOIN_MS ? "network" : "slow_room";
}

/** @param {Facts} facts @returns {Verdict} */
function alone({ provider, isOtherRoom, hadPicture, isPatienceOver }) {
  if (provider === "missing") return "provider_not_live";
  if (isOtherRoom) return "token";
  if (hadPicture) return "avatar_left";
  if (provider === "connected") return "slow_room"; // the avatar is there, but not visible from here yet
  return isPatienceOver ? "provider_not_live" : "early";
}

/**
 * What LiveKit's refusal of a join means. The error is always named "unreachable"; its reason and status tell the cause.
 *
 * @param {Pick<typeof import("livekit-client"), "ConnectionError" | "ConnectionErrorReason">} LiveKit
 * @param {unknown} error
 * @returns {"token" | "slow_room" | "network"}
 */
export function refusalOf({ ConnectionError, ConnectionErrorReason: Reason }, error) {
  if (!(error instanceof ConnectionError)) return "network";
  const { reason, status } = error;
  if (status === 404 || reason === Reason.ServiceNotFound || reason === Reason.InternalError) return "slow_room";
  return reason === Reason.NotAllowed ? "token" : "network";
}
