/**
 * Captions in time with the voice. Providers hand over a line's words as they are spoken, or all at once before; words
 * that are known too early wait, greyed, until the voice must have come to them. Pure: moments are arguments.
 */

/** Letters a second that synthetic voices speak, in Spanish as in English. */
const PACE = 16 / 1_000;
/** So few letters behind is the network's jitter, not a text that came early: catch up. */
const NEARLY = 24;
const CATCH_UP = 1.6;
/** A pause in the voice is waited for, but not for ever: nobody may be listening for it. */
const LONGEST_PAUSE_MS = 1_500;
/** So long before the voice words may come. */
const EARLIEST_MS = 2_500;
const LONGEST = 96;
const SENTENCE = 40; // shorter ones share a caption

/** @typedef {{ said: string, next: string }} Caption */

export class Captions {
  constructor() {
    this.taskId = "";
    this.text = "";
    this.reached = 0; // letters spoken
    this.isSpeaking = false;
    this.isOver = false;
    this.firstAt = 0;
    this.now = 0;
    this.paused = 0;
  }

  clear() {
    Object.assign(this, new Captions());
  }

  /**
   * The voice has begun: at some providers after the first words, at some before.
   *
   * @param {string} taskId
   * @param {number} now
   */
  begin(taskId, now) {
    this.turnTo(taskId);
    this.isSpeaking = true;
    this.now = now;
  }

  /**
   * @param {string} taskId
   * @param {string} piece
   * @param {number} now
   */
  add(taskId, piece, now) {
    this.turnTo(taskId);
    if (!this.text) this.firstAt = now;
    this.advance(now);
    this.text += piece;
    // Messages may be lost: words that go on coming are being spoken.
    if (!this.isSpeaking && now - this.firstAt > EARLIEST_MS) this.begin(taskId, now);
  }

  /**
   * The voice has come to the end of this line.
   *
   * @param {string} taskId
   */
  end(taskId) {
    if (taskId !== this.taskId) return;
    this.reached = this.text.length;
    this.isSpeaking = false;
    this.isOver = true;
  }

  /**
   * Time has passed.
   *
   * @param {number} now
   * @param {boolean | null} [isSounding]  null where nobody can tell
   */
  advance(now, isSounding = null) {
    const passed = Math.max(0, now - this.now);
    this.now = now;
    if (!this.isSpeaking) return;
    this.paused = isSounding === false ? this.paused + passed : 0;
    if (this.paused > 0 && this.paused <= LONGEST_PAUSE_MS) return;
    const pace = PACE * (this.isAhead ? 1 : CATCH_UP);
    this.reached = Math.min(this.text.length, this.reached + passed * pace);
  }

  /** Whether more is known than can have been spoken. */
  get isAhead() {
    return this.text.length - this.reached > NEARLY;
  }

  /** @returns {Caption} what stands on the picture: the words said, and those that follow in the same caption */
  get caption() {
    const { text } = this;
    const upTo = this.isSpeaking || this.isOver ? wordEnd(text, this.reached) : 0;
    const [begin, end] = captionAt(text, Math.max(0, upTo - 1));
    return { said: text.slice(begin, upTo).trim(), next: text.slice(upTo, end).trim() };
  }

  /** @param {string} taskId */
  turnTo(taskId) {
    if (this.taskId === taskId && !this.isOver) return;
    this.clear();
    this.taskId = taskId;
  }
}

/**
 * A word is shown when it begins to be spoken.
 *
 * @param {string} text
 * @param {number} reached
 */
function wordEnd(text, reached) {
  for (const word of text.matchAll(/\S+/gu)) {
    const end = word.index + word[0].length;
    if (end > reached) return end;
  }
  return text.length;
}

/**
 * The bounds of the caption that a letter stands in. Cut at the ends of sentences where that leaves enough to read, else
 * between words; what was cut stays so while more words come.
 *
 * @param {string} text
 * @param {number} place
 * @returns {[number, number]}
 */
function captionAt(text, place) {
  let begin = 0;
  let end = 0;
  for (const word of text.matchAll(/\S+\s*/gu)) {
    const from = word.index;
    const isFull = from + word[0].trimEnd().length - begin > LONGEST;
    const isSentence = from - begin >= SENTENCE && /[.!?…]["»”')]*\s+$/u.test(text.slice(begin, from));
    if (from > begin && (isFull || isSentence)) {
      if (place < from) return [begin, from];
      begin = from;
    }
    end = from + word[0].length;
  }
  return [begin, end];
}
