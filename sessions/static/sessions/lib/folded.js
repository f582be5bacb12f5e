/**
 * Return a text in lower case without accents, for searches: "Lucía" becomes "lucia".
 *
 * @param {string} text
 */
export function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
