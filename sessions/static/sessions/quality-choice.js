/** The picture's quality that the person wants. Kept in this browser: it is the network here that asks for less. */

import { all } from "./dom.js";

const KEY = "quality";

export class QualityChoice {
  /** @param {Pick<Storage, "getItem" | "setItem">} storage */
  constructor(storage) {
    this.radios = all("input[name=quality]").filter((one) => one instanceof HTMLInputElement);
    const kept = this.radios.find((radio) => radio.value === recall(storage));
    if (kept) kept.checked = true;
    for (const radio of this.radios) radio.addEventListener("change", () => keep(storage, radio.value));
  }

  /** What goes with session.start: nothing where there is no choice. */
  wish() {
    const chosen = this.radios.find((radio) => radio.checked);
    return chosen ? { quality: chosen.value } : {};
  }
}

/** @param {Pick<Storage, "getItem">} storage */
function recall(storage) {
  try {
    return storage.getItem(KEY);
  } catch {
    return null; // forbidden: the persona's own quality stands
  }
}

/**
 * @param {Pick<Storage, "setItem">} storage
 * @param {string} quality
 */
function keep(storage, quality) {
  try {
    storage.setItem(KEY, quality);
  } catch {
    // It holds until the page is left.
  }
}
