/**
 * WebSocket to the portal. Reconnects when it drops, and keeps messages until it is open again. Messages sent on a
 * connection that then broke are not repeated; callers track those that need an answer. The portal may open a socket
 * only to say that it takes no messages now: these are kept, and the next attempt waits as long as the portal says.
 */

import { backoff } from "./clock.js";

/** Close codes after which reconnecting is useless: signed out, access ended, not found, second factor missing. */
const FINAL = new Set([4401, 4403, 4404, 4428]);
const RETRY = { first: 500, most: 10_000 };
const MAX_UNSENT = 200;
/** A budget is used up. The last message before it says how many seconds to wait. */
const TOO_MANY = 4429;
/** What that message is about if the portal has handled no message of this socket. */
const AT_THE_DOOR = "connect";
const MAX_WAIT_S = 3600;

export class PortalSocket {
  #url;
  #hooks;
  #connect;
  #authorize;
  #attempt = 0;
  #wasOpen = false;
  /** @type {string[]} */
  #unsent = [];
  /** @type {WebSocket | null} */
  #socket = null;
  /**
   * What to return to if the portal handles nothing on the open socket. Null once anything else has arrived.
   *
   * @type {{ attempt: number, wasOpen: boolean, sent: string[] } | null}
   */
  #before = null;
  #waitMs = 0; // as the last message said

  /**
   * @param {string} url
   * @param {object} hooks
   * @param {(message: any) => void} hooks.onMessage
   * @param {(isAgain: boolean) => void} hooks.onOpen  called before kept messages are sent
   * @param {() => void} hooks.onDrop
   * @param {(code: number) => void} hooks.onRefused
   * @param {(url: string, protocols?: string[]) => WebSocket} [connect]
   * @param {() => Promise<string[]>} [authorize]  returns the subprotocols of the next socket, or rejects with a
   *   close code and a message for the page
   */
  constructor(url, hooks, connect = (address, protocols) => new WebSocket(address, protocols), authorize) {
    this.#url = url;
    this.#hooks = hooks;
    this.#connect = connect;
    this.#authorize = authorize;
    this.refusedWith = 0; // a final close code
  }

  open() {
    if (!this.#authorize) return this.#attach(this.#connect(this.#url));
    this.#authorize().then(
      (protocols) => this.#attach(this.#connect(this.#url, protocols)),
      ({ code = 0, message }) => {
        if (message) this.#receive(JSON.stringify(message));
        this.#closed(code);
      },
    );
  }

  /** @param {WebSocket} socket */
  #attach(socket) {
    this.#socket = socket;
    socket.onopen = () => {
      const before = { attempt: this.#attempt, wasOpen: this.#wasOpen, sent: this.#unsent.splice(0) };
      this.#attempt = 0;
      this.#hooks.onOpen(this.#wasOpen);
      this.#wasOpen = true;
      for (const text of before.sent) socket.send(text);
      this.#before = before;
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#closed(code);
  }

  /** @param {number} code */
  #closed(code) {
    this.#socket = null;
    if (FINAL.has(code)) {
      this.refusedWith = code;
      return this.#hooks.onRefused(code);
    }
    this.#hooks.onDrop();
    const waitMs = code === TOO_MANY ? this.#waitMs : 0;
    setTimeout(() => this.open(), waitMs + backoff(this.#attempt, RETRY));
    this.#attempt += 1;
    this.#before = null;
    this.#waitMs = 0;
  }

  get isOpen() {
    return this.#socket?.readyState === 1;
  }

  /**
   * Send now, or when the socket is open again.
   *
   * @param {{ type: string, [key: string]: unknown }} message
   */
  send(message) {
    const text = JSON.stringify(message);
    if (this.isOpen) {
      this.#socket?.send(text);
      if (this.#before && this.#before.sent.length < MAX_UNSENT) this.#before.sent.push(text);
    } else if (this.#unsent.length < MAX_UNSENT) this.#unsent.push(text);
  }

  /**
   * Send before all kept messages. Call from `onOpen`.
   *
   * @param {{ type: string, [key: string]: unknown }} message
   */
  sendFirst(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  /** @param {unknown} data */
  #receive(data) {
    let message;
    try {
      message = JSON.parse(String(data));
    } catch {
      return; // the portal sends JSON only
    }
    if (typeof message?.type !== "string") return;
    this.#waitMs = 1000 * Math.min(Number(message.wait_seconds) || 0, MAX_WAIT_S);
    if (message.type === "error" && message.about === AT_THE_DOOR) this.#takeBack();
    this.#before = null;
    this.#hooks.onMessage(message);
  }

  /** Keep for the next socket what the portal did not handle on this one. */
  #takeBack() {
    if (!this.#before) return;
    this.#attempt = this.#before.attempt;
    this.#wasOpen = this.#before.wasOpen;
    this.#unsent.unshift(...this.#before.sent);
  }
}
