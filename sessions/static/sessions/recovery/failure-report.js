/**
 * A failure as this page saw it, for support staff: the reports that the portal got, among them verdicts and recovery
 * steps, without anything that was said.
 */

const SPEECH_FIELDS = ["message"];

/**
 * @param {Pick<import("../conversation/conversation.js").Conversation, "state" | "reports" | "lastCheck">} conversation
 * @param {{ persona: string, browserName: string, now: number }} page  `now` by the page's clock
 */
export function failureReport({ state, reports, lastCheck }, { persona, browserName, now }) {
  const portalTime = (/** @type {number} */ moment) => new Date(moment + state.clockOffset).toISOString();
  return {
    session_id: state.session?.id ?? "",
    persona,
    made_at: portalTime(now),
    cause: state.cause?.code ?? "",
    words: state.cause?.words ?? "",
    verdict: state.verdict,
    provider: state.providerStatus,
    browser_name: browserName,
    check: lastCheck,
    events: reports.recent.map(({ kind, data, at }) => ({ at: portalTime(at), kind, ...withoutSpeech(data) })),
  };
}

/** @param {Record<string, unknown>} data */
function withoutSpeech(data) {
  return Object.fromEntries(Object.entries(data).filter(([name]) => !SPEECH_FIELDS.includes(name)));
}
