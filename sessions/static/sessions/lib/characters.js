/** Characters as people count them: an emoji or a letter with its accents is one. The portal counts in the same way. */

const segmenter = "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : null;

/**
 * @param {string} text
 * @returns {string[]} without Intl.Segmenter, the code points
 */
export function graphemes(text) {
  return segmenter ? Array.from(segmenter.segment(text), ({ segment }) => segment) : [...text];
}

/**
 * Shorten a text to a number of code points, without splitting a character.
 *
 * @param {string} text
 * @param {number} most
 */
export function shortened(text, most) {
  if (text.length <= most) return text; // a code point has at least one UTF-16 unit
  let kept = "";
  let count = 0;
  for (const character of graphemes(text)) {
    count += [...character].length;
    if (count > most) break;
    kept += character;
  }
  return kept;
}

/**
 * Remove what a database cannot store: the NUL character and lone surrogates.
 *
 * @param {string} text
 */
export function storable(text) {
  return text.replace(/\p{Surrogate}/gu, "").replaceAll("\0", "");
}
