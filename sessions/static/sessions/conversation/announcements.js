/**
 * What a screen reader says of the transcript: whole sentences of the avatar, what the user was heard saying, and texts
 * that failed. The transcript itself grows by fragments, and each would be read from the beginning.
 */

import { endsSentence, textPieces } from "../lib/text-pieces.js";

/** Lines that are older when they first appear belong to an earlier part of the conversation. */
const NEW_MS = 15_000;

/** @typedef {import("./transcript.js").Line} Line */
/** @typedef {{ who: "avatar" | "user" | "failure", text: string }} Announcement */

export class Announcements {
  /** Number of UTF-16 units announced, and the stage, of each line. @type {Map<string, { length: number, stage: string }>} */
  #announced = new Map();

  /**
   * @param {Line[]} lines
   * @param {number} now  by the clock of the lines
   * @returns {Announcement[]}  what has not been announced yet
   */
  next(lines, now) {
    const kept = new Set(lines.map(({ key }) => key));
    for (const key of this.#announced.keys()) if (!kept.has(key)) this.#announced.delete(key);
    return lines.flatMap((line) => this.#of(line, now));
  }

  /**
   * @param {Line} line
   * @param {number} now
   * @returns {Announcement[]}
   */
  #of(line, now) {
    const known = this.#announced.get(line.key);
    const isOld = !known && line.stage === "said" && now - line.at > NEW_MS;
    const before = known?.length ?? (isOld ? line.text.length : 0);
    const { who, by, stage, text } = line;
    const length = stage === "talking" ? Math.max(before, endOfSentences(text)) : text.length;
    this.#announced.set(line.key, { length, stage });
    if (who === "user" && by === "text") {
      return stage === "failed" && known?.stage !== "failed" ? [{ who: "failure", text: line.why }] : [];
    }
    const fresh = text.slice(before, length).trim();
    return fresh ? [{ who, text: fresh }] : [];
  }
}

/**
 * The end of the last sentence that is followed by another. The last one may still grow.
 *
 * @param {string} text
 */
function endOfSentences(text) {
  let [end, isOver] = [0, false];
  for (const piece of textPieces(text)) {
    if (isOver) end = piece.index;
    isOver = endsSentence(piece.text);
  }
  return end;
}
