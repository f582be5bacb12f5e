/** Which part of what the avatar says stands on the picture. */

const LONGEST = 96;

/**
 * The end of what has been said so far: whole sentences while they fit, else whole words.
 *
 * @param {string} text
 * @param {number} [longest]  in characters
 */
export function captionOf(text, longest = LONGEST) {
  const said = text.trim();
  if (said.length <= longest) return said;
  const tail = said.slice(-longest);
  const sentence = tail.search(/[.!?…]\s+\S/u);
  // A sentence that has only just begun would leave the caption nearly empty: show words before it, too.
  if (sentence >= 0 && sentence < longest / 2) return tail.slice(sentence + 1).trim();
  const word = tail.search(/\s/u);
  return word < 0 ? tail : `…${tail.slice(word + 1)}`;
}
