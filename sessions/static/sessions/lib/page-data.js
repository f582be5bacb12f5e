/**
 * Translated texts that scripts choose from. All other texts are in the templates.
 *
 * @typedef {object} Words
 * @property {Record<string, string>} quality
 * @property {Record<string, string>} causes
 * @property {Record<string, string>} remedies
 * @property {Record<"next" | "place" | "soon" | "minutes" | "elsewhere", string>} queue  {n}, {name} and {time} are placeholders
 * @property {import("../views/transcript-export.js").TranscriptWords} transcript
 * @property {Record<string, string>} provider
 */

/** @returns {Words} */
export function readWords() {
  return JSON.parse(document.querySelector("#words")?.textContent ?? "{}");
}

/**
 * What this persona supports, and what the portal accepts.
 *
 * @typedef {object} Capabilities
 * @property {boolean} takes_text
 * @property {boolean} takes_voice
 * @property {boolean} hands_free
 * @property {import("../voice/push-to-talk.js").Markers | null} push_to_talk
 * @property {import("../views/composer.js").TextLimits} text_limits
 */

/** @returns {Capabilities} */
export function readCapabilities() {
  return JSON.parse(document.querySelector("#capabilities")?.textContent ?? "{}");
}
