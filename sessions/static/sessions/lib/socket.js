/**
 * WebSocket to the portal. Reconnects when it drops, and keeps messages until it is open again. Messages sent on a
 * connection that then broke are not repeated; callers track those that need an answer.
 */

import { backoff } from "./clock.js";

/** Close codes after which reconnecting is useless: signed out, access ended, not found, second factor missing. */
const FINAL = new Set([4401, 4403, 4404, 4428]);
const RETRY = { first: 500, most: 10_000 };
const MAX_UNSENT = 200;

export class PortalSocket {
  #url;
  #hooks;
  #connect;
  #attempt = 0;
  #wasOpen = false;
  /** @type {string[]} */
  #unsent = [];
  /** @type {WebSocket | null} */
  #socket = null;

  /**
   * @param {string} url
   * @param {object} hooks
   * @param {(message: any) => void} hooks.onMessage
   * @param {(isAgain: boolean) => void} hooks.onOpen  called before kept messages are sent
   * @param {() => void} hooks.onDrop
   * @param {(code: number) => void} hooks.onRefused
   * @param {(url: string) => WebSocket} [connect]
   */
  constructor(url, hooks, connect = (address) => new WebSocket(address)) {
    this.#url = url;
    this.#hooks = hooks;
    this.#connect = connect;
    this.refusedWith = 0; // a final close code
  }

  open() {
    const socket = this.#connect(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#attempt = 0;
      this.#hooks.onOpen(this.#wasOpen);
      this.#wasOpen = true;
      for (const text of this.#unsent.splice(0)) socket.send(text);
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => {
      this.#socket = null;
      if (FINAL.has(code)) {
        this.refusedWith = code;
        return this.#hooks.onRefused(code);
      }
      this.#hooks.onDrop();
      setTimeout(() => this.open(), backoff(this.#attempt, RETRY));
      this.#attempt += 1;
    };
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
    if (this.isOpen) this.#socket?.send(text);
    else if (this.#unsent.length < MAX_UNSENT) this.#unsent.push(text);
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
    if (typeof message?.type === "string") this.#hooks.onMessage(message);
  }
}
