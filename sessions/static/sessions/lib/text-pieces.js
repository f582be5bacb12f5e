/** Parts of a text between which a line may be broken, and sentences, in scripts with and without spaces. */

/** Scripts that are written without spaces between words. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
/** Punctuation that belongs to the word after it. */
const OPENING = /^[\p{Ps}\p{Pi}¿¡]/u;
/** The end of a sentence: with a space after it, or in a script that has none. */
const SENTENCE_END = /[.!?…؟۔।॥]["»”’')\]]*\s+$|[。！？｡]["»”’」』）)]*\s*$/u;

const words = "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;

/** @typedef {{ index: number, text: string }} Piece  with the spaces after it */

/**
 * @param {string} text
 * @returns {Piece[]} joined, they equal the text without its leading spaces
 */
export function textPieces(text) {
  return Array.from(text.matchAll(/\S+\s*/gu), (match) => {
    const piece = { index: match.index, text: match[0] };
    return UNSPACED.test(piece.text) ? wordsOf(piece) : [piece];
  }).flat();
}

/**
 * Whether a text ends with the end of a sentence.
 *
 * @param {string} text
 */
export function endsSentence(text) {
  return SENTENCE_END.test(text);
}

/** @param {Piece} piece  without spaces between its words */
function wordsOf({ index, text }) {
  /** @type {Piece[]} */
  const found = [];
  let isOpening = false;
  let end = index;
  for (const { segment, isWordLike } of segmentsOf(text)) {
    const last = found.at(-1);
    const begins = OPENING.test(segment);
    if (last && !begins && (isOpening || !isWordLike)) last.text += segment;
    else found.push({ index: end, text: segment });
    isOpening = begins;
    end += segment.length;
  }
  return found;
}

/**
 * @param {string} text
 * @returns {Iterable<{ segment: string, isWordLike?: boolean }>}  without Intl.Segmenter, each letter is a word
 */
function segmentsOf(text) {
  return words?.segment(text) ?? Array.from(text, (segment) => ({ segment, isWordLike: /\p{L}/u.test(segment) }));
}
