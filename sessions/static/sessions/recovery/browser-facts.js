/**
 * What page and browser report for the diagnosis, besides the room.
 *
 * @typedef {object} BrowserFacts
 * @property {boolean} hasWebRTC
 * @property {boolean} isSecure
 * @property {boolean} isOnline
 * @property {boolean} isHidden
 * @property {boolean} isDark
 * @property {boolean} hasMoved  a new frame since the last measurement
 */

/** Before the first measurement. @type {BrowserFacts} */
export const FINE = {
  hasWebRTC: true,
  isSecure: true,
  isOnline: true,
  isHidden: false,
  isDark: false,
  hasMoved: false,
};

/** Facts about a room that has not been joined. */
export const OUTSIDE = {
  isIn: false,
  isReconnecting: false,
  joiningFor: 0,
  refusal: /** @type {const} */ (""),
  quality: "",
  room: "",
  hasAvatar: false,
  hasVideo: false,
  hasSound: false,
};

/**
 * @param {import("./frame-watch.js").FrameWatch} frames
 * @returns {BrowserFacts}
 */
export function browserFacts(frames) {
  return {
    ...frames.measure(),
    hasWebRTC: typeof RTCPeerConnection === "function",
    isSecure: isSecureContext,
    isOnline: navigator.onLine,
    isDark: frames.isDark,
  };
}
