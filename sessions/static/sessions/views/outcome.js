/** The cards shown instead of the video when the conversation has ended or failed. */

import { span, timeOfDay } from "../lib/clock.js";
import { one, say } from "../lib/dom.js";

/** @typedef {import("../conversation/conversation.js").Conversation} Conversation */

export class OutcomeView {
  /** @param {import("../lib/page-data.js").Words} words */
  constructor(words) {
    this.words = words;
  }

  /**
   * @param {Conversation} conversation
   * @param {import("../conversation/state.js").Screen} screen
   */
  draw(conversation, screen) {
    if (screen === "ended") this.drawEnd(conversation);
    if (screen === "failed") this.drawFailure(conversation);
  }

  /** @param {Conversation} conversation */
  drawEnd({ state, transcript }) {
    const { session } = state;
    if (!session) return;
    const isOver = session.status === "ended";
    say(one("#over", HTMLElement), session.words);
    one("#closing", HTMLElement).hidden = isOver;
    one("#closed", HTMLElement).hidden = !isOver;
    const until = isOver ? Date.parse(session.endedAt) : NaN;
    say(one("#closed-at", HTMLElement), isOver ? timeOfDay(session.endedAt, document.documentElement.lang) : "");
    say(one("#duration", HTMLElement), isOver ? span((until - Date.parse(session.createdAt)) / 1000) : "…");
    say(one("#messages", HTMLElement), String(transcript.lineCount));
    one("#continue", HTMLElement).hidden = transcript.lineCount === 0;
  }

  /** @param {Conversation} conversation */
  drawFailure({ state }) {
    const { causes, remedies } = this.words;
    const { code, words } = state.cause ?? { code: "", words: "" };
    say(one("#cause", HTMLElement), words || causes[code] || "");
    say(one("#remedy", HTMLElement), remedies[code] ?? remedies[""] ?? "");
    const report = one("#report", HTMLElement);
    report.hidden = !state.session;
    say(one("code", HTMLElement, report), state.session?.id ?? "");
  }
}
