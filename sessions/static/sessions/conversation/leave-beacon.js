/** The page's last word: a beacon outlives the page, where a socket may close without anybody hearing of it. */

/**
 * @param {{ sessionId: string, tab: string }} conversation
 * @param {string} csrfToken
 * @param {(url: string, body: URLSearchParams) => boolean} [send]
 */
export function sendLeaveBeacon({ sessionId, tab }, csrfToken, send = (url, body) => navigator.sendBeacon(url, body)) {
  if (!sessionId || !tab) return;
  send(`/sessions/${sessionId}/leave`, new URLSearchParams({ tab, csrfmiddlewaretoken: csrfToken }));
}
