/** Waiting: the place in line, and the conversation elsewhere that stands in the way. */

import { timeOfDay } from "../lib/clock.js";
import { one, say } from "../lib/dom.js";

const MOST_DRAWN = 5;

/** @typedef {Record<"next" | "place" | "soon" | "minutes" | "elsewhere", string>} Phrases */

export class QueueView {
  /** @param {Phrases} phrases */
  constructor(phrases) {
    this.phrases = phrases;
    this.line = one("#line-up", HTMLElement);
  }

  /**
   * @param {import("../conversation/state.js").RoomState} state
   * @param {import("../conversation/state.js").Face} face
   */
  draw({ turn, other }, face) {
    if (face === "queue" && turn) {
      say(one("#queue-place", HTMLElement), describeTurn(turn, this.phrases));
      this.drawLine(turn.place);
    }
    if (face === "take-over" && other) {
      const time = timeOfDay(other.startedAt, document.documentElement.lang);
      const words = fill(this.phrases.elsewhere, { name: other.persona, time });
      say(one("#elsewhere", HTMLElement), words);
    }
  }

  /** @param {number} place */
  drawLine(place) {
    const shown = Math.min(place, MOST_DRAWN);
    const marks = Array.from({ length: shown }, (_, index) => {
      const mark = document.createElement("i");
      mark.textContent = String(place - shown + index + 1);
      mark.classList.toggle("is-you", index === shown - 1);
      return mark;
    });
    this.line.replaceChildren(...marks);
  }
}

/**
 * @param {import("../conversation/state.js").Turn} turn
 * @param {Phrases} phrases
 */
export function describeTurn({ place, expectedS }, phrases) {
  const where = place <= 1 ? phrases.next : fill(phrases.place, { n: String(place) });
  if (expectedS === null) return where;
  const minutes = Math.ceil(expectedS / 60);
  return `${where}, ${minutes <= 1 ? phrases.soon : fill(phrases.minutes, { n: String(minutes) })}`;
}

/**
 * @param {string} phrase
 * @param {Record<string, string>} values
 */
function fill(phrase, values) {
  return phrase.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
