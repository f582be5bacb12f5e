/** The bar: time left, connection, problems, and whether staff watch. */

import { isOpen } from "../conversation/state.js";
import { countdown, secondsUntil } from "../lib/clock.js";
import { one, say } from "../lib/dom.js";

/** @typedef {import("../conversation/conversation.js").Conversation} Conversation */

/** @type {Record<string, { icon: string, mood: string }>} */
const QUALITIES = {
  good: { icon: "signal-4", mood: "is-good" },
  poor: { icon: "signal-2", mood: "is-poor" },
  reconnecting: { icon: "signal-1", mood: "is-poor" },
  lost: { icon: "signal-0", mood: "is-lost" },
};

export class BarView {
  /** @param {import("../lib/page-data.js").Words} words */
  constructor(words) {
    this.words = words;
    this.left = one("#time-left", HTMLTimeElement);
    this.connection = one("#connection", HTMLElement);
    this.icon = one("use", SVGUseElement, this.connection);
    this.problem = one("#trouble", HTMLElement);
    this.observed = one("#observed", HTMLElement);
  }

  /** @param {Conversation} conversation */
  draw(conversation) {
    const { session, socketDrops, connection, observed } = conversation.state;
    if (session) {
      const seconds = secondsUntil(session.endsAt, conversation.now());
      say(this.left, countdown(seconds));
      this.left.dateTime = `PT${seconds}S`;
    }
    this.drawConnection(socketDrops ? "reconnecting" : connection);
    // A single drop is over before a message about it could be read.
    const problem = conversation.state.problem || (socketDrops > 1 ? this.words.causes.portal_away : "") || "";
    say(this.problem, problem);
    this.problem.hidden = !problem;
    const isUnobserved = !observed || (observed.until !== "" && secondsUntil(observed.until, conversation.now()) <= 0);
    this.observed.hidden = isUnobserved || !isOpen(conversation.state);
  }

  /** @param {string} quality */
  drawConnection(quality) {
    const known = QUALITIES[quality];
    this.connection.hidden = !known;
    if (!known) return;
    this.connection.className = known.mood;
    say(one(".word", HTMLElement, this.connection), this.words.quality[quality] ?? "");
    const [sprite] = (this.icon.getAttribute("href") ?? "").split("#");
    this.icon.setAttribute("href", `${sprite}#${known.icon}`);
  }
}
