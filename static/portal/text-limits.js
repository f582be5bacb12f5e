// Checks the lengths of typed texts, in characters as people count them: an emoji or a letter with its accents is one.
// The portal counts in the same way. `maxlength` would count an emoji as two or more.
(() => {
  const CODE_POINTS_PER_CHARACTER = 5;
  const segmenter = "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : null;

  /** @type {(text: string, most: number) => number} */
  const lengthOf = (text, most) => {
    const codePoints = Array.from(text).length;
    if (codePoints > CODE_POINTS_PER_CHARACTER * most) return Math.ceil(codePoints / CODE_POINTS_PER_CHARACTER);
    return segmenter ? Array.from(segmenter.segment(text)).length : codePoints;
  };

  /** @param {unknown} field */
  const check = (field) => {
    if (!(field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement)) return;
    const { minCharacters, maxCharacters, tooShort = "", tooLong = "" } = field.dataset;
    if (!maxCharacters) return;
    const most = Number(maxCharacters);
    const length = lengthOf(field.value.trim(), most);
    const isShort = length > 0 && length < Number(minCharacters);
    field.setCustomValidity(length > most ? tooLong : isShort ? tooShort : "");
  };

  document.addEventListener("input", ({ target }) => check(target));
  for (const field of document.querySelectorAll("[data-max-characters]")) check(field);
})();
