/**
 * <avatar-chat persona="…">: an avatar on any page. One file without dependencies; docs/embedding.md describes it.
 *
 * The element holds a frame of the portal and knows nothing of what is said there. The frame tells it when the guest is
 * let in, live and done, and the lines only if staff trust the page. Styles are constructed, so that a page's Content
 * Security Policy needs no exception.
 */

(() => {
  const script = document.currentScript;
  const PORTAL = new URL(script instanceof HTMLScriptElement ? script.src : location.href).origin;
  // A page opened with this at the end of its address shows whether guests can talk on it.
  const CHECK = "#avatar-chat-check";
  const CHECK_MS = 8_000;
  const ALLOW = "microphone; autoplay; fullscreen; picture-in-picture; screen-wake-lock; clipboard-write";
  /**
   * In every language that the portal has. The portal fills them in: sessions/embed/element.py.
   *
   * @type {Record<string, Record<"ask" | "open" | "close" | "minimise" | "frame" | "blocked", string>>}
   */
  const TEXTS = {};
  const CSS = `
    :host { display: block; font: 600 1rem/1.25 var(--avatar-chat-font, system-ui, sans-serif); }
    :host([hidden]) { display: none; }
    :host(:not([form])), :host([form="bubble"]) { position: fixed; z-index: var(--avatar-chat-z-index, 2147483000); inset-block-end: var(--avatar-chat-margin, 1rem); inset-inline-end: var(--avatar-chat-margin, 1rem); }
    :host([side="left"]:not([form])), :host([form="bubble"][side="left"]) { inset-inline: var(--avatar-chat-margin, 1rem) auto; }
    .panel { display: flex; flex-direction: column; overflow: hidden; box-sizing: border-box; background: var(--avatar-chat-background, #0b1114); border-radius: var(--avatar-chat-radius, 1rem); }
    .panel[hidden] { display: none; }
    .floating .panel { width: min(var(--avatar-chat-width, 24rem), calc(100vw - 2rem)); height: min(var(--avatar-chat-height, 40rem), calc(100dvh - 6rem)); margin-block-end: .75rem; box-shadow: 0 .75rem 3rem rgb(0 0 0 / .35); }
    .inline .panel { width: 100%; height: var(--avatar-chat-height, 40rem); }
    .page .panel { position: fixed; inset: 0; z-index: var(--avatar-chat-z-index, 2147483000); border-radius: 0; }
    .bar { display: none; justify-content: flex-end; }
    .floating .bar { display: flex; }
    iframe { flex: 1; width: 100%; min-height: 0; border: 0; color-scheme: normal; }
    button { font: inherit; color: var(--avatar-chat-color, #fff); background: var(--avatar-chat-accent, #0b6b82); border: 0; border-radius: 99rem; min-height: 3rem; padding: .75rem 1.25rem; cursor: pointer; }
    button:focus-visible { outline: 3px solid var(--avatar-chat-focus, #ffb000); outline-offset: 2px; }
    .bar button { min-height: 2.75rem; min-width: 2.75rem; padding: .25rem; background: transparent; }
    .launcher { display: none; align-items: center; gap: .5rem; margin-inline-start: auto; box-shadow: 0 .25rem 1rem rgb(0 0 0 / .3); }
    .floating .launcher { display: flex; }
    svg { width: 1.25rem; height: 1.25rem; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; }
    .problem { margin: 0; padding: 1rem; color: #fff; font-weight: 400; }
    @media (max-width: 30rem) { .floating .panel { position: fixed; inset: 0; width: auto; height: auto; margin: 0; border-radius: 0; } }
    @media (prefers-reduced-motion: no-preference) { .panel { animation: rise .2s ease-out; } @keyframes rise { from { opacity: 0; translate: 0 1rem; } } }
  `;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(CSS);

  class AvatarChat extends HTMLElement {
    static observedAttributes = ["form", "label", "persona"];
    #root = this.attachShadow({ mode: "open", delegatesFocus: true });
    /** @type {HTMLDivElement} */
    #box;
    /** @type {HTMLDivElement} */
    #panel;
    /** @type {HTMLButtonElement} */
    #launcher;
    /** @type {HTMLIFrameElement | null} */
    #frame = null;
    #isReady = false;
    #isHeard = false;
    /** @type {string[]} */
    #unsaid = [];

    constructor() {
      super();
      this.#root.adoptedStyleSheets = [sheet];
      this.#box = create("div");
      this.#panel = create("div", { class: "panel" });
      const bar = create("div", { class: "bar" });
      const close = create("button", { type: "button" });
      close.append(icon("M6 12h12"));
      close.addEventListener("click", () => this.close());
      bar.append(close);
      this.#panel.append(bar);
      this.#panel.addEventListener("keydown", ({ key }) => key === "Escape" && this.close());
      this.#launcher = create("button", { type: "button", class: "launcher", "aria-expanded": "false" });
      this.#launcher.addEventListener("click", () => (this.isOpen ? this.close() : this.open()));
      this.#box.append(this.#panel, this.#launcher);
      this.#root.append(this.#box);
      this.#panel.hidden = true;
    }

    connectedCallback() {
      addEventListener("message", this.#onMessage);
      const texts = this.#texts;
      this.#panel.setAttribute("aria-label", this.label);
      this.#panel.querySelector("button")?.setAttribute("aria-label", texts.minimise);
      this.#drawForm();
      if (this.form !== "bubble" || location.hash === CHECK) this.open();
    }

    disconnectedCallback() {
      removeEventListener("message", this.#onMessage);
      this.#frame?.remove();
      this.#frame = null;
      this.#isReady = false;
    }

    attributeChangedCallback() {
      if (this.isConnected) this.#drawForm();
    }

    /** "bubble", "inline" or "page". */
    get form() {
      const asked = this.getAttribute("form") ?? "";
      return ["inline", "page"].includes(asked) ? asked : "bubble";
    }

    get label() {
      return this.getAttribute("label") || this.#texts.ask;
    }

    get isOpen() {
      return !this.#panel.hidden;
    }

    /** The element's own language, or the page's, or the browser's: the first that the portal has, if any. */
    get #language() {
      for (const asked of [this.lang, document.documentElement.lang, ...navigator.languages]) {
        const code = asked.toLowerCase();
        const base = code.split("-")[0] ?? "";
        const known = [code, base, ...Object.keys(TEXTS)].find((it) => it in TEXTS && it.split("-")[0] === base);
        if (known) return known;
      }
      return "";
    }

    get #texts() {
      return TEXTS[this.#language || "en"] ?? /** @type {typeof TEXTS[string]} */ (Object.values(TEXTS)[0]);
    }

    /** Show the conversation. The portal is asked for it when this is first called. */
    open() {
      if (!this.#frame) this.#load();
      this.#panel.hidden = false;
      this.#drawLauncher();
      if (this.form === "bubble") this.#frame?.focus();
    }

    /** Hide the conversation, which goes on. */
    close() {
      if (this.form === "inline") return;
      this.#panel.hidden = true;
      this.#drawLauncher();
      if (this.form === "bubble") this.#launcher.focus();
    }

    /**
     * Write in the guest's name, if staff trust this page. Nothing happens otherwise.
     *
     * @param {string} text
     */
    say(text) {
      if (this.#isReady) this.#tell({ type: "say", text: String(text) });
      else this.#unsaid.push(String(text));
    }

    #load() {
      const isCheck = location.hash === CHECK;
      const path = `/embed/${encodeURIComponent(this.getAttribute("persona") ?? "")}/${isCheck ? "check/" : ""}`;
      const url = new URL(path, PORTAL);
      if (isCheck) setTimeout(() => this.#isHeard || this.#explain(), CHECK_MS);
      if (this.#language) url.searchParams.set("lang", this.#language);
      this.#frame = create("iframe", {
        allow: ALLOW,
        title: this.getAttribute("label") || this.#texts.frame,
        src: url.href,
      });
      this.#panel.append(this.#frame);
    }

    /** Say why the check's frame does not answer: it cannot say so itself. */
    #explain() {
      const text = create("p", { role: "alert", class: "problem" });
      text.textContent = this.#texts.blocked.replaceAll("{portal}", PORTAL);
      this.#panel.append(text);
    }

    #drawForm() {
      this.#box.className = { bubble: "floating", inline: "inline", page: "page" }[this.form] ?? "floating";
      this.#panel.setAttribute("role", this.form === "inline" ? "region" : "dialog");
      this.#drawLauncher();
    }

    #drawLauncher() {
      this.#launcher.setAttribute("aria-expanded", String(this.isOpen));
      this.#launcher.setAttribute("aria-label", this.isOpen ? this.#texts.close : `${this.label}: ${this.#texts.open}`);
      this.#launcher.replaceChildren(icon(this.isOpen ? "M6 6l12 12M18 6L6 18" : "M4 5h16v11H9l-5 4z"));
      if (!this.isOpen) this.#launcher.append(this.label);
    }

    /** @param {Record<string, string>} message */
    #tell(message) {
      this.#frame?.contentWindow?.postMessage({ source: "avatar-chat", ...message }, PORTAL);
    }

    /** @param {MessageEvent} event */
    #onMessage = ({ source, origin, data }) => {
      if (!this.#frame || source !== this.#frame.contentWindow || origin !== PORTAL) return;
      if (data?.source !== "avatar-chat") return;
      this.#isHeard = true;
      if (data.type === "hello") return this.#tell({ type: "hello" });
      if (data.type === "escape") return this.form === "bubble" ? this.close() : undefined;
      if (!["ready", "live", "ended", "line"].includes(data.type)) return;
      const { source: _source, type, ...detail } = data;
      if (type === "ready") {
        this.#isReady = true;
        for (const text of this.#unsaid.splice(0)) this.say(text);
      }
      this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
    };
  }

  /**
   * @template {keyof HTMLElementTagNameMap} T
   * @param {T} name
   * @param {Record<string, string>} [attributes]
   * @returns {HTMLElementTagNameMap[T]}
   */
  function create(name, attributes = {}) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  /** @param {string} path */
  function icon(path) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  }

  if (!customElements.get("avatar-chat")) customElements.define("avatar-chat", AvatarChat);
})();
