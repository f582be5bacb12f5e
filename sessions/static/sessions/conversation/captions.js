/**
 * Captions in time with the avatar's speech. Some providers send a line's words as they are spoken, others all at once
 * before; words that are known early stay grey until they must have been spoken. Pure: times are arguments.
 */

import { endsSentence, textPieces } from "../lib/text-pieces.js";

/** Letters per millisecond of synthetic speech, in Spanish as in English. */
const PACE = 16 / 1_000;
/** Characters that stand for a syllable or more take as long as this many letters, and are as wide as two. */
const SYLLABIC = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;
const LETTERS_IN_SYLLABLE = 3;
const MARK = /\p{Mark}/u;
const WIDE = 2;
/** Being this few characters behind is network jitter rather than an early text: catch up. */
const JITTER_CHARACTERS = 24;
const CATCH_UP = 1.6;
/** Captions wait for a pause in the speech, but not for ever: it may not be measured. */
const LONGEST_PAUSE_MS = 1_500;
/** Words may arrive this long before they are spoken. */
const EARLIEST_MS = 2_500;
const CAPTION_CHARACTERS = 96;
const SENTENCE_CHARACTERS = 40; // shorter sentences share a caption

/** @typedef {{ spoken: string, next: string }} Caption */
/** @typedef {import("../lib/text-pieces.js").Piece} Piece */

export class Captions {
  #taskId = "";
  #text = "";
  #spokenCharacters = 0;
  #isSpeaking = false;
  #isOver = false;
  #firstAt = 0;
  #now = 0;
  #pausedMs = 0;
  /** @type {{ text: string, pieces: Piece[] }} */
  #split = { text: "", pieces: [] };

  get isSpeaking() {
    return this.#isSpeaking;
  }

  /** Whether the avatar has spoken the whole line. */
  get isOver() {
    return this.#isOver;
  }

  clear() {
    this.#taskId = "";
    this.#text = "";
    this.#spokenCharacters = 0;
    this.#isSpeaking = false;
    this.#isOver = false;
    this.#firstAt = 0;
    this.#now = 0;
    this.#pausedMs = 0;
  }

  /**
   * The avatar begins to speak. Depending on the provider, the first words arrive before or after.
   *
   * @param {string} taskId
   * @param {number} now
   */
  begin(taskId, now) {
    this.#switchTo(taskId);
    this.#isSpeaking = true;
    this.#now = now;
  }

  /**
   * @param {string} taskId
   * @param {string} fragment
   * @param {number} now
   */
  add(taskId, fragment, now) {
    this.#switchTo(taskId);
    if (!this.#text) this.#firstAt = now;
    this.advance(now);
    this.#text += fragment;
    // The message that speech began may be lost: if more words arrive, they are being spoken.
    if (!this.#isSpeaking && now - this.#firstAt > EARLIEST_MS) this.begin(taskId, now);
  }

  /**
   * The avatar has spoken the whole line.
   *
   * @param {string} taskId
   */
  end(taskId) {
    if (taskId !== this.#taskId) return;
    this.#spokenCharacters = this.#text.length;
    this.#isSpeaking = false;
    this.#isOver = true;
  }

  /**
   * Advance with the time.
   *
   * @param {number} now
   * @param {boolean | null} [isSounding]  null if it is not measured
   */
  advance(now, isSounding = null) {
    const passed = Math.max(0, now - this.#now);
    this.#now = now;
    if (!this.#isSpeaking) return;
    this.#pausedMs = isSounding === false ? this.#pausedMs + passed : 0;
    if (this.#pausedMs > 0 && this.#pausedMs <= LONGEST_PAUSE_MS) return;
    const pace =
      (PACE * (this.isAhead ? 1 : CATCH_UP)) /
      (SYLLABIC.test(this.#text.charAt(this.#spokenCharacters)) ? LETTERS_IN_SYLLABLE : 1);
    this.#spokenCharacters = Math.min(this.#text.length, this.#spokenCharacters + passed * pace);
  }

  /** Whether more words are known than can have been spoken. */
  get isAhead() {
    return this.#text.length - this.#spokenCharacters > JITTER_CHARACTERS;
  }

  /** @returns {Caption} the words spoken, and those that follow in the same caption */
  get caption() {
    const text = this.#text;
    if (this.#split.text !== text) this.#split = { text, pieces: textPieces(text) };
    const { pieces } = this.#split;
    const upTo = this.#isSpeaking || this.#isOver ? wordEnd(pieces, this.#spokenCharacters) : 0;
    const [begin, end] = captionAt(pieces, Math.max(0, upTo - 1));
    return { spoken: text.slice(begin, upTo).trim(), next: text.slice(upTo, end).trim() };
  }

  /** @param {string} taskId */
  #switchTo(taskId) {
    if (this.#taskId === taskId && !this.#isOver) return;
    this.clear();
    this.#taskId = taskId;
  }
}

/**
 * A word is shown as soon as it begins to be spoken.
 *
 * @param {Piece[]} pieces
 * @param {number} reached
 */
function wordEnd(pieces, reached) {
  let end = 0;
  for (const piece of pieces) {
    end = piece.index + piece.text.trimEnd().length;
    if (end > reached) return end;
  }
  return end;
}

/**
 * Find the bounds of the caption that contains a character. Captions end with a sentence if that leaves enough to read,
 * else between words. Later words do not move earlier bounds.
 *
 * @param {Piece[]} pieces
 * @param {number} position
 * @returns {[number, number]}
 */
function captionAt(pieces, position) {
  let [begin, end, width, before] = [0, 0, 0, ""];
  for (const piece of pieces) {
    const from = piece.index;
    const isFull = width + widthOf(piece.text.trimEnd()) > CAPTION_CHARACTERS;
    const isSentence = width >= SENTENCE_CHARACTERS && endsSentence(before);
    if (from > begin && (isFull || isSentence)) {
      if (position < from) return [begin, from];
      begin = from;
      [width, before] = [0, ""];
    }
    end = from + piece.text.length;
    width += widthOf(piece.text);
    before = piece.text;
  }
  return [begin, end];
}

/**
 * The width of a text in letters.
 *
 * @param {string} text
 */
function widthOf(text) {
  let width = 0;
  for (const character of text) width += MARK.test(character) ? 0 : SYLLABIC.test(character) ? WIDE : 1;
  return width;
}
