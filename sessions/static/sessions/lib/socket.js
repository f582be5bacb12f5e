/**
 * The page's line to the portal: opens itself again when it drops, and keeps what was said meanwhile.
 * Nothing is sent twice: what was handed to a connection that then broke is the caller's to look after.
 */

import { backoff } from "./clock.js";

/** Closed for good: signed out, access ended, not this person's, or a second factor is missing. */
const FINAL = new Set([4401, 4403, 4404, 4428]);
const RETRY = { first: 500, most: 10_000 };
const MOST_KEPT = 200;

export class PortalSocket {
  /**
   * @param {string} url
   * @param {object} hooks
   * @param {(message: any) => void} hooks.onMessage
   * @param {(isAgain: boolean) => void} hooks.onOpen  before anything that waited is sent
   * @param {() => void} hooks.onDrop
   * @param {(code: number) => void} hooks.onRefused
   * @param {(url: string) => WebSocket} [connect]
   */
  constructor(url, hooks, connect = (address) => new WebSocket(address)) {
    this.url = url;
    this.hooks = hooks;
    this.connect = connect;
    this.attempt = 0;
    this.wasOpen = false;
    this.refusedWith = 0; // the close code, once it is closed for good
    /** @type {string[]} */
    this.kept = [];
    /** @type {WebSocket | null} */
    this.line = null;
  }

  open() {
    const line = this.connect(this.url);
    this.line = line;
    line.onopen = () => {
      this.attempt = 0;
      this.hooks.onOpen(this.wasOpen);
      this.wasOpen = true;
      for (const text of this.kept.splice(0)) line.send(text);
    };
    line.onmessage = ({ data }) => this.receive(data);
    line.onclose = ({ code }) => {
      this.line = null;
      if (FINAL.has(code)) {
        this.refusedWith = code;
        return this.hooks.onRefused(code);
      }
      this.hooks.onDrop();
      setTimeout(() => this.open(), backoff(this.attempt, RETRY));
      this.attempt += 1;
    };
  }

  get isOpen() {
    return this.line?.readyState === 1;
  }

  /**
   * Send now, or as soon as the line is open again.
   *
   * @param {{ type: string, [key: string]: unknown }} message
   */
  send(message) {
    const text = JSON.stringify(message);
    if (this.isOpen) this.line?.send(text);
    else if (this.kept.length < MOST_KEPT) this.kept.push(text);
  }

  /**
   * Send now, ahead of whatever waits; only of use from `onOpen`.
   *
   * @param {{ type: string, [key: string]: unknown }} message
   */
  sendFirst(message) {
    this.line?.send(JSON.stringify(message));
  }

  /** @param {unknown} data */
  receive(data) {
    let message;
    try {
      message = JSON.parse(String(data));
    } catch {
      return; // the portal speaks JSON; whatever this was, it is not for us
    }
    if (typeof message?.type === "string") this.hooks.onMessage(message);
  }
}
