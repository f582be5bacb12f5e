/** The queue position, and the user's conversation elsewhere that prevents this one. */

import { timeOfDay } from "../lib/clock.js";
import { one, say } from "../lib/dom.js";

const MARKS_DRAWN = 5;

/** @typedef {Record<"next" | "place" | "soon" | "minutes" | "elsewhere", string>} Phrases */

export class QueueView {
  /** @param {Phrases} phrases */
  constructor(phrases) {
    this.phrases = phrases;
    this.line = one("#line-up", HTMLElement);
  }

  /**
   * @param {import("../conversation/state.js").ConversationState} state
   * @param {import("../conversation/state.js").Screen} screen
   */
  draw({ queue, elsewhere }, screen) {
    if (screen === "queue" && queue) {
      say(one("#queue-place", HTMLElement), describeQueue(queue, this.phrases));
      this.drawQueue(queue.position);
    }
    if (screen === "take-over" && elsewhere) {
      const time = timeOfDay(elsewhere.startedAt, document.documentElement.lang);
      const words = fill(this.phrases.elsewhere, { name: elsewhere.persona, time });
      say(one("#elsewhere", HTMLElement), words);
    }
  }

  /** @param {number} position */
  drawQueue(position) {
    const shown = Math.min(position, MARKS_DRAWN);
    const marks = Array.from({ length: shown }, (_, index) => {
      const mark = document.createElement("i");
      mark.textContent = String(position - shown + index + 1);
      mark.classList.toggle("is-you", index === shown - 1);
      return mark;
    });
    this.line.replaceChildren(...marks);
  }
}

/**
 * @param {import("../conversation/state.js").Queue} queue
 * @param {Phrases} phrases
 */
export function describeQueue({ position, expectedSeconds }, phrases) {
  const where = position <= 1 ? phrases.next : fill(phrases.place, { n: String(position) });
  if (expectedSeconds === null) return where;
  const minutes = Math.ceil(expectedSeconds / 60);
  return `${where}, ${minutes <= 1 ? phrases.soon : fill(phrases.minutes, { n: String(minutes) })}`;
}

/**
 * @param {string} phrase
 * @param {Record<string, string>} values
 */
function fill(phrase, values) {
  return phrase.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
