/** The facts in the bar: time left and the connection, in words. */

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
    this.trouble = one("#trouble", HTMLElement);
    this.observed = one("#observed", HTMLElement);
  }

  /** @param {Conversation} it */
  draw(it) {
    if (it.state.session) {
      const seconds = secondsUntil(it.state.session.endsAt, it.clock(), it.offset);
      say(this.left, countdown(seconds));
      this.left.dateTime = `PT${seconds}S`;
    }
    this.drawConnection(it.drops ? "reconnecting" : it.quality);
    // One drop is made good before anybody has read of it.
    const trouble = it.trouble || (it.drops > 1 ? this.words.causes.portal_away : "") || "";
    say(this.trouble, trouble);
    this.trouble.hidden = !trouble;
    const { observed } = it.state;
    const isOver = !observed || (observed.until !== "" && secondsUntil(observed.until, it.clock(), it.offset) <= 0);
    this.observed.hidden = isOver || !isOpen(it.state);
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
