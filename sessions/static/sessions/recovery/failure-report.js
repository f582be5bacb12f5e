/**
 * What a failure looked like from here, for whoever helps: the same that the portal was told, the verdicts and steps
 * among it, without a word that was said.
 */

const OF_SPEECH = ["message"];

/**
 * @param {Pick<import("../conversation/conversation.js").Conversation, "state" | "reports" | "offset" | "lastCheck">} it
 * @param {{ persona: string, browserName: string, now: number }} here
 */
export function failureReport({ state, reports, offset, lastCheck }, { persona, browserName, now }) {
  const at = (/** @type {number} */ moment) => new Date(moment + offset).toISOString();
  return {
    session_id: state.session?.id ?? "",
    persona,
    made_at: at(now),
    cause: state.cause?.code ?? "",
    words: state.cause?.words ?? "",
    verdict: state.verdict,
    provider: state.provider,
    browser_name: browserName,
    check: lastCheck(),
    events: reports.told.map(({ kind, data, at: moment }) => ({ at: at(moment), kind, ...without(data) })),
  };
}

/** @param {Record<string, unknown>} data */
function without(data) {
  return Object.fromEntries(Object.entries(data).filter(([name]) => !OF_SPEECH.includes(name)));
}
