/** The video quality chosen by the user. Kept in this browser, as it depends on its network. */

import { all, one } from "../lib/dom.js";

const KEY = "quality";

export class QualityChoice {
  /**
   * @param {Pick<Storage, "getItem" | "setItem">} storage
   * @param {(event: Event) => void} onSwitch  the quality was changed during a session
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
 * The `encoding` option of `session.start` for browsers that cannot play H.264, the avatars' default; for example a
 * Firefox that has not downloaded its decoder yet.
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
    return null; // storage is forbidden: use the persona's quality
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
    // Without storage, the choice lasts until the page is left.
  }
}
