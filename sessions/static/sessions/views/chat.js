/** The transcript and the composer below it. */

import { timeOfDay } from "../lib/clock.js";
import { all, on, one, say } from "../lib/dom.js";

/** @typedef {import("../conversation/transcript.js").Line} Line */

const MAX_CHARACTERS = 2_000;
const NEAR_CHARACTERS = 1_800;

export class ChatView {
  /**
   * @param {object} hooks
   * @param {(kind: "talk" | "repeat", text: string) => void} hooks.onSay
   * @param {(ref: string) => void} hooks.onRetry
   * @param {() => void} hooks.onTyping
   */
  constructor(hooks) {
    this.hooks = hooks;
    this.language = document.documentElement.lang;
    this.list = one("#lines", HTMLElement);
    this.text = one("#text", HTMLTextAreaElement);
    this.send = one("#send", HTMLButtonElement);
    this.leftOut = one("#left-out", HTMLElement);
    this.legend = one("#reported-legend", HTMLElement);
    this.counter = one("#count", HTMLElement);
    /** @type {Map<string, { line: Line, element: HTMLElement }>} */
    this.drawn = new Map();
    this.setUp();
  }

  setUp() {
    this.text.addEventListener("input", () => {
      this.count();
      this.hooks.onTyping();
    });
    this.text.addEventListener("keydown", (event) => {
      // While an input method composes a character, Enter belongs to it.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    on("#composer", "submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.count();
  }

  submit() {
    const text = this.text.value;
    if (!isSendable(text)) return;
    const kind = one("input[name=kind]:checked", HTMLInputElement).value === "repeat" ? "repeat" : "talk";
    this.text.value = "";
    this.count();
    this.hooks.onSay(kind, text);
  }

  count() {
    const length = lengthOf(this.text.value);
    say(one("#count-now", HTMLElement), String(length));
    this.counter.classList.toggle("is-near", length >= NEAR_CHARACTERS && length <= MAX_CHARACTERS);
    this.counter.classList.toggle("is-over", length > MAX_CHARACTERS);
    this.send.disabled = !isSendable(this.text.value);
  }

  /** @param {Pick<import("../conversation/transcript.js").Transcript, "lines" | "fullUrl">} transcript */
  draw({ lines, fullUrl }) {
    this.leftOut.hidden = !fullUrl;
    if (fullUrl) one("a", HTMLAnchorElement, this.leftOut).href = fullUrl;
    this.legend.hidden = !lines.some((line) => line.isReported && line.stage === "said");
    const kept = new Set(lines.map((line) => line.key));
    for (const [key, { element }] of this.drawn) {
      if (kept.has(key)) continue;
      element.remove();
      this.drawn.delete(key);
    }
    for (const [index, line] of lines.entries()) {
      const element = this.drawLine(line);
      if (this.list.children[index] !== element) this.list.insertBefore(element, this.list.children[index] ?? null);
    }
  }

  /**
   * @param {Line} line
   * @returns {HTMLElement}
   */
  drawLine(line) {
    const known = this.drawn.get(line.key);
    if (known?.line === line) return known.element;
    const element = known?.element ?? this.newLine(line);
    this.drawn.set(line.key, { line, element });
    const isPending = line.stage === "waiting" || line.stage === "failed";
    element.classList.toggle("line--wait", isPending);
    element.classList.toggle("line--read", line.isRead);
    say(one("time", HTMLElement, element), isPending ? "" : timeOfDay(new Date(line.at).toISOString(), this.language));
    say(one(".line__text", HTMLElement, element), line.text);
    const marks = marksOf(line);
    for (const mark of all("[data-mark]", element)) {
      mark.hidden = !marks.includes(mark.dataset.mark ?? "");
      if (mark.dataset.mark === "why") say(mark, line.why);
    }
    return element;
  }

  /**
   * @param {Line} line
   * @returns {HTMLElement}
   */
  newLine({ who, key }) {
    const copy = document.importNode(one(`#line-${who}`, HTMLTemplateElement).content, true);
    const element = one("li", HTMLElement, copy);
    // Each attempt has its own reference: use the line's latest.
    const retry = () => this.hooks.onRetry(this.drawn.get(key)?.line.ref ?? "");
    for (const button of all("button", element)) button.addEventListener("click", retry);
    return element;
  }
}

/** @param {string} text */
function isSendable(text) {
  return text.trim() !== "" && lengthOf(text) <= MAX_CHARACTERS;
}

/**
 * Count characters as the portal does: an emoji is one.
 *
 * @param {string} text
 */
function lengthOf(text) {
  return [...text].length;
}

/**
 * @param {Line} line
 * @returns {string[]}
 */
function marksOf(line) {
  const reported = line.isReported && line.stage === "said" ? ["reported"] : [];
  if (line.who === "avatar")
    return line.isInterrupted ? ["interrupted", ...reported] : line.stage === "talking" ? ["talking"] : reported;
  if (line.stage === "waiting") return ["waiting"];
  if (line.stage === "failed") return ["failed", ...(line.why ? ["why"] : [])];
  const undelivered = line.isDelivered === false ? ["undelivered"] : [];
  return [line.isRead ? "read" : line.by, ...reported, ...undelivered];
}
