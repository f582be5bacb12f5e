/** Tells the portal that the page is closing. A beacon outlives the page; a closing socket may go unnoticed. */

/**
 * @param {{ sessionId: string, tab: string }} state
 * @param {string} csrfToken
 * @param {(url: string, body: URLSearchParams) => boolean} [send]
 */
export function sendLeaveBeacon({ sessionId, tab }, csrfToken, send = (url, body) => navigator.sendBeacon(url, body)) {
  if (!sessionId || !tab) return;
  send(`/sessions/${sessionId}/leave`, new URLSearchParams({ tab, csrfmiddlewaretoken: csrfToken }));
}
