/** The box that users tick before they start, where staff require it. */

import { one, say } from "../lib/dom.js";

/** Parts of the page that another version of the notice replaces. */
const PARTS = ["#ready-dock", "#notice"];

export class ConsentView {
  #isRefreshing = false;

  /** Without a box, nothing has to be accepted. */
  get box() {
    const found = document.querySelector("#agree");
    return found instanceof HTMLInputElement ? found : null;
  }

  /**
   * What a start says about it.
   *
   * @returns {{ accepts?: string }}
   */
  get options() {
    const { box } = this;
    return box?.checked ? { accepts: box.dataset.notice ?? "" } : {};
  }

  /** Return whether the page may start; otherwise lead to the box. */
  check() {
    const { box } = this;
    const isMissing = box !== null && !box.checked;
    if (isMissing) this.#ask("#agree-missing");
    else this.#clear();
    return !isMissing;
  }

  /** @param {import("../conversation/state.js").ConversationState} state */
  draw({ isConsentNeeded }) {
    if (isConsentNeeded && !this.#isRefreshing) void this.#refresh();
  }

  /** Show the notice as it is now, with its box. */
  async #refresh() {
    this.#isRefreshing = true;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const selector of PARTS) {
        // The dock keeps its button, which has its listeners.
        const part = one(selector, HTMLElement);
        const now = one(selector, HTMLElement, fresh);
        if (selector === "#ready-dock") this.#replaceBox(part, now);
        else part.replaceWith(now);
      }
      this.#ask("#agree-changed");
    } catch {
      location.reload();
    } finally {
      this.#isRefreshing = false;
    }
  }

  /**
   * @param {HTMLElement} dock
   * @param {HTMLElement} now
   */
  #replaceBox(dock, now) {
    const row = one("#agree-row", HTMLElement, now);
    dock.querySelector("#agree-row, .dock__say")?.replaceWith(row);
    dock.className = now.className;
  }

  /** @param {string} words  selector of a template */
  #ask(words) {
    one("#agree-row", HTMLElement).classList.add("is-bad");
    say(one("#agree-error", HTMLElement), one(words, HTMLTemplateElement).content.textContent ?? "");
    this.box?.setAttribute("aria-invalid", "true");
    this.box?.focus();
  }

  #clear() {
    if (!this.box) return;
    one("#agree-row", HTMLElement).classList.remove("is-bad");
    say(one("#agree-error", HTMLElement), "");
    this.box.removeAttribute("aria-invalid");
  }
}
