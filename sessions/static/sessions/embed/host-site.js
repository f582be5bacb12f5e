/**
 * The site around the frame. Messages go to its exact origin only, and come from nowhere else. The portal decides whether
 * the site is allowed; until then the page tells it nothing.
 */

const HELLO_MS = 1_500;

/** @typedef {{ type: string, text?: unknown }} HostMessage */

export class HostSite {
  #window;
  #onMessage;
  /** @type {string} */
  #origin = "";
  /** @type {(origin: string) => void} */
  #found = () => {};
  #isAdmitted = false;

  /**
   * @param {Window} page  the frame's own window
   * @param {(message: HostMessage) => void} onMessage
   */
  constructor(page, onMessage) {
    this.#window = page;
    this.#onMessage = onMessage;
    page.addEventListener("message", (event) => this.#receive(event));
  }

  /**
   * Return the site's origin: of its first message, which the browser vouches for, or else of the address that led here.
   *
   * @returns {Promise<string>}
   */
  async origin() {
    if (this.#origin || this.#window.parent === this.#window) return this.#origin;
    const said = new Promise((resolve) => {
      this.#found = resolve;
      setTimeout(() => resolve(""), HELLO_MS);
    });
    // Any site may hear this: it says only that the frame is here.
    this.#window.parent.postMessage({ source: "avatar-chat", type: "hello" }, "*");
    this.#origin = (await said) || ancestor(this.#window);
    return this.#origin;
  }

  /** The portal has let the site in: from now on it is told what happens. */
  admitted() {
    this.#isAdmitted = true;
  }

  /** @param {{ type: string, [key: string]: unknown }} message */
  tell(message) {
    if (this.#isAdmitted && this.#origin) {
      this.#window.parent.postMessage({ source: "avatar-chat", ...message }, this.#origin);
    }
  }

  /** @param {MessageEvent} event */
  #receive({ source, origin, data }) {
    if (source !== this.#window.parent || data?.source !== "avatar-chat" || typeof data.type !== "string") return;
    if (data.type === "hello") this.#found(origin);
    else if (this.#isAdmitted && origin === this.#origin) this.#onMessage(data);
  }
}

/**
 * @param {Window} page
 * @returns {string}
 */
function ancestor(page) {
  const [nearest] = page.location.ancestorOrigins ?? [];
  if (nearest) return nearest;
  try {
    return new URL(page.document.referrer).origin;
  } catch {
    return "";
  }
}
