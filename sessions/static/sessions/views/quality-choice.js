/** The picture's quality that the person wants. Kept in this browser: it is the network here that asks for less. */

import { all, one } from "../lib/dom.js";

const KEY = "quality";

export class QualityChoice {
  /**
   * @param {Pick<Storage, "getItem" | "setItem">} storage
   * @param {(event: Event) => void} onSwitch  another size is wanted for a picture that stands
   */
  constructor(storage, onSwitch) {
    this.radios = all("input[name=quality]").filter((one) => one instanceof HTMLInputElement);
    this.buttons = all("[data-quality]");
    const kept = this.radios.find((radio) => radio.value === recall(storage));
    if (kept) kept.checked = true;
    for (const radio of this.radios) {
      radio.addEventListener("change", () => {
        keep(storage, radio.value);
        this.mark();
      });
    }
    for (const button of this.buttons) {
      button.addEventListener("click", (event) => {
        one("#quality-panel", HTMLElement).hidePopover();
        const radio = this.radios.find(({ value }) => value === button.dataset.quality);
        if (!radio || radio.checked) return;
        radio.click();
        onSwitch(event);
      });
    }
    this.mark();
  }

  mark() {
    const { quality = "" } = this.choice();
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.quality === quality));
  }

  /** @returns {{ quality?: string }} the option of `session.start`; empty if the page offers no choice */
  choice() {
    const chosen = this.radios.find((radio) => radio.checked);
    return chosen ? { quality: chosen.value } : {};
  }
}

/**
 * What goes with session.start in a browser that plays no H.264, which is what avatars are sent in: a Firefox, say, that
 * has not fetched its decoder yet.
 *
 * @param {Pick<typeof RTCRtpReceiver, "getCapabilities"> | undefined} receiver
 */
export function encodingPreference(receiver = globalThis.RTCRtpReceiver) {
  const codecs = (receiver?.getCapabilities("video")?.codecs ?? []).map(({ mimeType }) => mimeType.toLowerCase());
  return codecs.includes("video/vp8") && !codecs.includes("video/h264") ? { encoding: "VP8" } : {};
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
