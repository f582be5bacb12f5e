/** Tells screen readers what is new in the transcript, in an invisible live region. */

import { Announcements } from "../conversation/announcements.js";
import { one } from "../lib/dom.js";

const KEPT = 5;

export class AnnouncerView {
  #announcements = new Announcements();
  #words;
  #region = one("#announcer", HTMLElement);

  /** @param {import("./transcript-export.js").TranscriptWords} words */
  constructor(words) {
    this.#words = words;
  }

  /**
   * @param {import("../conversation/transcript.js").Line[]} lines
   * @param {number} now  the portal's clock
   */
  draw(lines, now) {
    for (const { who, text } of this.#announcements.next(lines, now)) {
      const element = document.createElement("p");
      if (who === "avatar") element.lang = this.#region.dataset.lang ?? "";
      const prefix = { avatar: "", user: `${this.#words.you}: `, failure: `${this.#words.failed} ` }[who];
      element.textContent = prefix + text;
      this.#region.append(element);
      if (this.#region.children.length > KEPT) this.#region.firstElementChild?.remove();
    }
  }
}
