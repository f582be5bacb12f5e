/** What the page and the browser say of themselves, besides the room. */

/**
 * @typedef {object} BrowserFacts  what the page and the browser say, besides the room
 * @property {boolean} hasWebRTC
 * @property {boolean} isSecure
 * @property {boolean} isOnline
 * @property {boolean} isHidden
 * @property {boolean} isDark
 * @property {boolean} hasMoved  a new picture since the last look
 */

/** Before anybody looks. @type {BrowserFacts} */
export const FINE = {
  hasWebRTC: true,
  isSecure: true,
  isOnline: true,
  isHidden: false,
  isDark: false,
  hasMoved: false,
};

export const OUTSIDE = {
  ...{ isIn: false, isReconnecting: false, joiningFor: 0, refusal: /** @type {const} */ (""), quality: "", room: "" },
  ...{ hasAvatar: false, hasVideo: false, hasSound: false },
};

/**
 * @param {import("./frame-watch.js").FrameWatch} watch
 * @returns {BrowserFacts}
 */
export function browserFacts(watch) {
  return {
    ...watch.look(),
    hasWebRTC: typeof RTCPeerConnection === "function",
    isSecure: isSecureContext,
    isOnline: navigator.onLine,
    isDark: watch.isDark,
  };
}
