/** Finds and changes elements. Text is set as textContent only. */

/** A browser may ask where to save a file, and reads it only then. */
const DOWNLOAD_MS = 60_000;

/**
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} kind
 * @param {ParentNode} [within]
 * @returns {T}
 */
export function one(selector, kind, within = document) {
  const found = within.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`the page lacks ${selector}`);
  return found;
}

/**
 * @param {string} selector
 * @param {ParentNode} [within]
 * @returns {HTMLElement[]}
 */
export function all(selector, within = document) {
  return [...within.querySelectorAll(selector)].filter((found) => found instanceof HTMLElement);
}

/**
 * Set an element's text if it differs: a live region would read the same text again.
 *
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Show the elements whose attribute contains a value, and hide the others.
 *
 * @param {string} attribute  such as "data-when", with a list of values
 * @param {string} wanted
 * @param {ParentNode} [within]
 */
export function showOnly(attribute, wanted, within = document) {
  for (const element of all(`[${attribute}]`, within)) {
    const isWanted = (element.getAttribute(attribute) ?? "").split(" ").includes(wanted);
    if (element.hidden === isWanted) element.hidden = !isWanted;
  }
}

/**
 * Download a text as a file.
 *
 * @param {string} name
 * @param {string} text
 * @param {string} type
 */
export function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), DOWNLOAD_MS);
}

/**
 * @param {string} selector
 * @param {string} event
 * @param {(event: Event) => void} listener
 */
export function on(selector, event, listener) {
  for (const element of all(selector)) element.addEventListener(event, listener);
}
