/** The text field below the transcript: its length, its size, and which key sends. */

import { graphemes, storable } from "../lib/characters.js";
import { on, one, say } from "../lib/dom.js";

/** From this part of the limit on, the counter stands out. */
const NEARLY_FULL = 0.9;
/** Value of `keyCode` while an input method handles the key. Safari confirms a candidate with it after `compositionend`. */
const HANDLED_BY_INPUT_METHOD = 229;
/** Counting the characters of a text this many times too long would hold up the page. */
const FAR_TOO_LONG = 10;

/** @typedef {{ characters: number, code_points: number }} TextLimits */

export class ComposerView {
  #limits;
  #hooks;

  /**
   * @param {TextLimits} limits
   * @param {object} hooks
   * @param {(kind: "talk" | "repeat", text: string) => void} hooks.onSay
   * @param {() => void} hooks.onTyping
   */
  constructor(limits, hooks) {
    this.#limits = limits;
    this.#hooks = hooks;
    this.text = one("#text", HTMLTextAreaElement);
    this.send = one("#send", HTMLButtonElement);
    this.counter = one("#count", HTMLElement);
    this.#setUp();
  }

  #setUp() {
    const touch = matchMedia("(hover: none) and (pointer: coarse)");
    const label = () => {
      this.text.enterKeyHint = touch.matches ? "enter" : "send";
    };
    touch.addEventListener("change", label);
    label();
    this.text.addEventListener("input", () => {
      this.#draw();
      this.#hooks.onTyping();
    });
    this.text.addEventListener("keydown", (event) => {
      if (!isSend(event, touch.matches)) return;
      event.preventDefault();
      this.#submit();
    });
    on("#composer", "submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    addEventListener("resize", () => this.fit());
    this.#draw();
  }

  #submit() {
    const text = storable(this.text.value);
    if (!isSendable(text, this.#limits)) return;
    const kind = one("input[name=kind]:checked", HTMLInputElement).value === "repeat" ? "repeat" : "talk";
    this.text.value = "";
    this.#draw();
    this.#hooks.onSay(kind, text);
  }

  #draw() {
    const { characters } = this.#limits;
    const length = lengthOf(this.text.value, this.#limits);
    say(one("#count-now", HTMLElement), String(length));
    this.counter.classList.toggle("is-near", length >= NEARLY_FULL * characters && length <= characters);
    this.counter.classList.toggle("is-over", length > characters);
    this.send.disabled = !isSendable(this.text.value, this.#limits);
    this.fit();
  }

  /** Make the field as high as its text, up to the maximum in the style sheet. */
  fit() {
    const { style } = this.text;
    style.height = ""; // else the field never becomes smaller
    if (this.text.scrollHeight > this.text.clientHeight) style.height = `${this.text.scrollHeight}px`;
  }
}

/**
 * Whether a key press sends the text. Enter of a soft keyboard begins a new line, as it has no Shift+Enter.
 *
 * @param {Pick<KeyboardEvent, "key" | "keyCode" | "shiftKey" | "ctrlKey" | "metaKey" | "isComposing">} event
 * @param {boolean} isTouch  touch is the only input
 */
export function isSend({ key, keyCode, shiftKey, ctrlKey, metaKey, isComposing }, isTouch) {
  if (key !== "Enter" || isComposing || keyCode === HANDLED_BY_INPUT_METHOD) return false;
  return ctrlKey || metaKey || (!shiftKey && !isTouch);
}

/**
 * @param {string} text
 * @param {TextLimits} limits
 */
export function isSendable(text, limits) {
  return text.trim() !== "" && lengthOf(text, limits) <= limits.characters;
}

/**
 * The number of characters to show. A text with too many code points is longer than allowed, however few characters
 * they form.
 *
 * @param {string} text
 * @param {TextLimits} limits
 */
export function lengthOf(text, limits) {
  const codePoints = [...text].length;
  if (codePoints > FAR_TOO_LONG * limits.code_points) return codePoints;
  const count = graphemes(text).length;
  if (codePoints <= limits.code_points) return count;
  return Math.max(count, Math.ceil((codePoints * limits.characters) / limits.code_points));
}
