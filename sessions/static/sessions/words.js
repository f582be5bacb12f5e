/**
 * The few words that the scripts choose from; all others stand in the templates.
 *
 * @typedef {object} Words
 * @property {Record<string, string>} quality
 * @property {Record<string, string>} causes
 * @property {Record<string, string>} remedies
 * @property {Record<"next" | "place" | "soon" | "minutes" | "elsewhere", string>} queue  {n}, {name}, {time} stand for what the portal says
 * @property {{ you: string, copied: string }} transcript
 */

/** @returns {Words} */
export function readWords() {
  return JSON.parse(document.querySelector("#words")?.textContent ?? "{}");
}
