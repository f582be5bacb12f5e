/** What a guest's page has beside a user's: the site around it, the age check, erasure, and the kiosk. */

import { on, one, say } from "../lib/dom.js";
import { NO_STORAGE, storageOr } from "../lib/storage.js";
import { GuestAccess } from "./guest-access.js";
import { HostSite } from "./host-site.js";

/** How long a kiosk shows how the conversation ended. */
const KIOSK_RESET_MS = 20_000;
const OVER = ["ended", "failed"];

/** @typedef {import("../conversation/conversation.js").Conversation} Conversation */

export class GuestPage {
  #page;
  #site;
  #access;
  #isKiosk;
  #sharesLines;
  /** @type {Conversation | undefined} */
  #conversation;
  #isLive = false;
  /** @type {Set<string>} keys of lines */
  #told = new Set();

  /** @param {HTMLElement} page */
  constructor(page) {
    const { guest = "", link = "" } = page.dataset;
    this.#page = page;
    this.#isKiosk = "kiosk" in page.dataset;
    this.#sharesLines = "sharesLines" in page.dataset;
    this.#site = new HostSite(window, (message) => this.#onHostMessage(message));
    const storage = this.#isKiosk ? NO_STORAGE : storageOr(() => sessionStorage);
    this.#access = new GuestAccess({ url: guest, link, storage, site: () => this.#site.origin() });
    if (this.#isKiosk) on("#attract", "click", () => this.#begin());
    // The site around the frame does not hear its keys. An open menu takes Escape for itself.
    document.addEventListener("keydown", ({ key, defaultPrevented }) => {
      if (key !== "Escape" || defaultPrevented || document.fullscreenElement) return;
      if (!document.querySelector(":popover-open")) this.#site.tell({ type: "escape" });
    });
    // Not on the box itself: a changed notice replaces it.
    document.addEventListener("change", ({ target }) => {
      if (target instanceof HTMLInputElement && target.id === "age") {
        one("#start", HTMLButtonElement).disabled = !target.checked;
      }
    });
  }

  /** What a start says beside the choices of every page. */
  get startOptions() {
    const age = document.querySelector("#age");
    return age instanceof HTMLInputElement && age.checked ? { age_confirmed: true } : {};
  }

  /** A kiosk keeps nothing on the device. */
  get keepsSession() {
    return !this.#isKiosk;
  }

  /** The subprotocols of the page's next socket. */
  async authorize() {
    const protocols = await this.#access.authorize();
    this.#site.admitted();
    this.#site.tell({ type: "ready" });
    return protocols;
  }

  /** @param {Conversation} conversation */
  attach(conversation) {
    this.#conversation = conversation;
    on("#erase", "click", () => void this.#erase());
  }

  /**
   * Tell the site what has happened.
   *
   * @param {import("../conversation/state.js").Screen} screen
   */
  draw(screen) {
    const { phase, session } = this.#conversation?.state ?? {};
    if (phase === "live" && !this.#isLive) this.#site.tell({ type: "live" });
    if (phase !== "live" && this.#isLive) this.#site.tell({ type: "ended", reason: session?.reason ?? "" });
    this.#isLive = phase === "live";
    if (this.#sharesLines) this.#tellLines();
    one("#erase", HTMLButtonElement).hidden = session?.status !== "ended";
    if (this.#isKiosk && OVER.includes(screen)) this.#resetLater();
  }

  /**
   * Tell the portal that the page is closing.
   *
   * @param {{ sessionId: string, tab: string }} state
   */
  leave({ sessionId, tab }) {
    if (!sessionId || !tab) return;
    const body = new URLSearchParams({ tab, visit: this.#access.visit });
    navigator.sendBeacon(this.#address(`sessions/${sessionId}/leave`), body);
  }

  #tellLines() {
    for (const line of this.#conversation?.transcript.lines ?? []) {
      if (line.stage !== "said" || this.#told.has(line.key)) continue;
      this.#told.add(line.key);
      this.#site.tell({ type: "line", who: line.who, text: line.text });
    }
  }

  /** @param {import("./host-site.js").HostMessage} message */
  #onHostMessage({ type, text }) {
    if (type === "say" && this.#sharesLines && typeof text === "string") this.#conversation?.say("talk", text);
  }

  async #erase() {
    const done = one("#erased", HTMLElement);
    const body = JSON.stringify({ visit: this.#access.visit });
    const response = await fetch(this.#address("erase"), { method: "POST", body }).catch(() => null);
    const isErased = response?.ok && (await response.json()).is_erased;
    if (isErased) {
      this.#conversation?.transcript.clear();
      one("#lines", HTMLElement).replaceChildren();
    }
    say(done, done.dataset[isErased ? "done" : response?.status === 409 ? "open" : "failed"] ?? "");
  }

  #begin() {
    one("#attract", HTMLElement).hidden = true;
    one("#start", HTMLElement).focus();
  }

  #resetLater() {
    if (this.#page.dataset.resets) return;
    this.#page.dataset.resets = "yes";
    setTimeout(() => location.replace(location.href), KIOSK_RESET_MS);
  }

  /** @param {string} path */
  #address(path) {
    return new URL(path, new URL(this.#page.dataset.guest ?? "", location.href)).href;
  }
}
