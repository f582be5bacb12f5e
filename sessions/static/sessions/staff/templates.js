/** Copies of HTML templates, their texts, and numbers in the page's language. */

import { all, one, say } from "../lib/dom.js";

/**
 * @param {string} template
 * @returns {HTMLElement}
 */
export function copy(template) {
  const part = one(template, HTMLTemplateElement).content.firstElementChild?.cloneNode(true);
  if (!(part instanceof HTMLElement)) throw new Error(`${template} is empty`);
  return part;
}

/**
 * Fill the elements marked with `data-text` with the named values.
 *
 * @param {HTMLElement} part
 * @param {object} known
 */
export function fill(part, known) {
  const values = new Map(Object.entries(known));
  for (const element of all("[data-text]", part)) say(element, String(values.get(element.dataset.text ?? "") ?? ""));
}

/**
 * Label each control with the user's name.
 *
 * @param {HTMLElement} part
 * @param {string} user
 */
export function name(part, user) {
  for (const element of all("[data-name]", part)) {
    const words = (element.dataset.name ?? "").replace("{user}", user);
    if (element.matches("a, button")) element.setAttribute("aria-label", words);
    else say(element, words);
  }
}

/**
 * @param {string} selector
 * @param {number | undefined} value
 * @param {number | undefined} max
 */
export function gauge(selector, value, max) {
  const found = document.querySelector(selector);
  if (!(found instanceof HTMLProgressElement)) return;
  found.hidden = !max;
  found.max = max || 1;
  found.value = Math.min(value ?? 0, found.max);
}

/** @param {number} seconds */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [
    Math.floor(whole / 3600),
    Math.floor(whole / 60) % 60,
    String(whole % 60).padStart(2, "0"),
  ];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** @param {number} amount */
export function decimal(amount) {
  return amount.toLocaleString(document.documentElement.lang, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}
