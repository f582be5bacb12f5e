/**
 * Gets a guest's page in. The portal answers with a visit, which the page keeps so that a reload does not make another
 * guest, and with a token that opens one socket.
 */

import { solve } from "./challenge.js";

const SUBPROTOCOL = "portal.guest";
/** The close code of a socket that access to the portal was refused. */
const REFUSED = 4403;
const TRY_LATER = 4503;

/**
 * Why there is no token. `code` is that of a closed socket, and `message` one for the page.
 *
 * @typedef {{ code: number, message?: { type: "error", [key: string]: unknown } }} Refusal
 */

export class GuestAccess {
  #url;
  #link;
  #storage;
  #site;
  #send;
  #visit = "";

  /**
   * @param {object} parts
   * @param {string} parts.url  of the portal's view
   * @param {string} parts.link  signed code of a link; empty in a site's frame
   * @param {Pick<Storage, "getItem" | "setItem" | "removeItem">} parts.storage
   * @param {() => Promise<string>} parts.site  the origin of the site around the frame
   * @param {(url: string, options: RequestInit) => Promise<Response>} [parts.send]
   */
  constructor({ url, link, storage, site, send = (address, options) => fetch(address, options) }) {
    this.#url = url;
    this.#link = link;
    this.#storage = storage;
    this.#site = site;
    this.#send = send;
    this.#visit = this.#recall();
  }

  /** The guest's own token, for requests about what they said. */
  get visit() {
    return this.#visit;
  }

  /** @returns {Promise<string[]>}  the subprotocols of a socket. Rejects with a Refusal. */
  async authorize() {
    const origin = this.#link ? "" : await this.#site();
    let answer = await this.#ask({ origin });
    if (answer.code === "challenge_needed") answer = await this.#ask({ origin, answer: await solve(answer.challenge) });
    if (answer.code === "token_invalid" && this.#visit) {
      this.#keep("");
      answer = await this.#ask({ origin });
    }
    if (!answer.token) throw /** @type {Refusal} */ ({ code: answer.status, message: { type: "error", ...answer } });
    this.#keep(answer.visit);
    return [SUBPROTOCOL, answer.token];
  }

  /** @param {Record<string, unknown>} content */
  async #ask(content) {
    const body = JSON.stringify({ ...content, link: this.#link, visit: this.#visit });
    let response;
    try {
      response = await this.#send(this.#url, {
        method: "POST",
        body,
        headers: { "Content-Type": "application/json" },
      });
    } catch {
      throw /** @type {Refusal} */ ({ code: TRY_LATER });
    }
    const answer = await response.json().catch(() => ({}));
    const status = response.status === 403 || response.status === 404 ? REFUSED : 4000 + response.status;
    return { ...answer, status, about: "connect" };
  }

  #recall() {
    try {
      return this.#storage.getItem(`visit:${this.#url}:${this.#link}`) ?? "";
    } catch {
      return ""; // storage is forbidden
    }
  }

  /** @param {string} visit */
  #keep(visit) {
    this.#visit = visit;
    try {
      this.#storage.setItem(`visit:${this.#url}:${this.#link}`, visit);
    } catch {
      // Without storage, a reload makes another guest.
    }
  }
}
