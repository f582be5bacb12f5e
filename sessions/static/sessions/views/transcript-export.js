/** Copies or downloads the transcript as plain text in the page's language. */

import { timeOfDay } from "../lib/clock.js";
import { on, one, save, say } from "../lib/dom.js";

// Some programs break lines at control characters that `\s` lacks, such as U+0085.
const LINE_BREAKS = /[\s\p{Cc}]+/gu;
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** @typedef {import("../conversation/transcript.js").Line} Line */
/** @typedef {{ you: string, copied: string, title: string, interrupted: string, voice: string, read: string, reported: string, undelivered: string, failed: string }} TranscriptWords */

/**
 * @param {Line[]} lines
 * @param {string} avatar
 * @param {TranscriptWords} words
 * @param {string} language
 */
export function plainText(lines, avatar, words, language) {
  const written = lines.filter(({ stage }) => stage === "said" || stage === "talking");
  const [first] = written;
  const day = first ? new Date(first.at).toLocaleDateString(language, { dateStyle: "long" }) : "";
  const body = written.map((line) => {
    const notes = [];
    if (line.who === "user" && line.by === "voice") notes.push(words.voice);
    if (line.who === "user" && line.isRead) notes.push(words.read);
    if (line.isInterrupted) notes.push(words.interrupted);
    if (line.isReported) notes.push(words.reported);
    if (line.isDelivered === false) notes.push(words.undelivered);
    const who = (line.who === "user" ? words.you : avatar) + (notes.length ? ` (${notes.join(", ")})` : "");
    return `[${timeOfDay(new Date(line.at).toISOString(), language)}] ${isolated(who)}: ${isolated(onOneLine(line.text))}\n`;
  });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll("_", " ");
  return [`${words.title}${day && `, ${day} (${zone})`}\n\n`, ...body].join("");
}

/**
 * Replace line breaks with spaces, so that a text cannot look like another line.
 *
 * @param {string} text
 */
function onOneLine(text) {
  return text.replace(LINE_BREAKS, " ").trim();
}

/**
 * Keep a text that runs from right to left from moving the words around it.
 *
 * @param {string} text
 */
function isolated(text) {
  return RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text;
}

/**
 * @param {object} parts
 * @param {() => string} parts.text
 * @param {() => string} parts.fileName
 * @param {TranscriptWords} parts.words
 */
export function setUpTranscriptExport({ text, fileName, words }) {
  on("[data-download]", "click", () => save(fileName(), text(), "text/plain;charset=utf-8"));
  one("#copy", HTMLButtonElement).hidden = !navigator.clipboard; // browsers give it to secure pages only
  on("#copy", "click", async () => {
    const message = one("#copied", HTMLElement);
    message.textContent = "";
    await navigator.clipboard.writeText(text());
    say(message, words.copied);
  });
}
