/** The board's rows, one per session. They change in place, so that selection and focus stay. */

import { all, one, say } from "../lib/dom.js";
import { folded } from "../lib/folded.js";
import { clock, copy, decimal, fill, gauge, name } from "./templates.js";

/**
 * @typedef {object} Session
 * @property {string} id
 * @property {string} user
 * @property {string} persona
 * @property {string} version
 * @property {string} face
 * @property {string} tone
 * @property {boolean} is_alert
 * @property {boolean} is_stopping
 * @property {string} created_at
 * @property {string} ends_at
 * @property {number | null} credits_per_minute
 * @property {string} network
 * @property {string} page
 * @property {string} look
 * @typedef {{ id: number, user: string, since: string }} Waiter
 * @typedef {object} Changed
 * @property {string} now
 * @property {Session[]} [sessions]
 * @property {string[]} [over]
 * @property {Waiter[]} [line]
 * @property {object[]} [strangers]
 * @property {Record<string, any>} [figures]
 */

const SIGNALS = { good: "4", poor: "2", lost: "1", absent: "0", unknown: "0" };
const NEAR_S = 60;

export class BoardView {
  /**
   * @param {object} hooks
   * @param {(session: Session) => void} hooks.onStop
   * @param {(entry: number) => void} hooks.onRemove
   */
  constructor(hooks) {
    this.hooks = hooks;
    /** @type {Map<string, { session: Session, row: HTMLElement }>} */
    this.shown = new Map();
    this.query = "";
    this.clockOffset = 0; // how far the portal's clock is ahead, in milliseconds
    this.rows = one("#rows", HTMLElement);
  }

  /** @param {Changed} message */
  change({ now, sessions = [], over = [], line, strangers, figures }) {
    this.clockOffset = Date.parse(now) - Date.now();
    for (const session of sessions) this.draw(session);
    for (const id of over) this.drop(id);
    if (sessions.length || over.length) this.order();
    if (line) this.drawQueue(line);
    if (strangers) this.drawUnknownSessions(strangers);
    if (figures) this.drawFigures(figures);
    one("#none-open", HTMLElement).hidden = this.shown.size > 0;
    for (const button of all("#stop-all")) button.toggleAttribute("disabled", this.shown.size === 0);
    this.count();
    this.tick();
  }

  /** Remove all rows: the portal is about to send them again. */
  forget() {
    for (const id of [...this.shown.keys()]) this.drop(id);
  }

  /** @param {Session} session */
  draw(session) {
    const known = this.shown.get(session.id);
    const row = known?.row ?? this.newRow(session);
    this.shown.set(session.id, { session, row });
    row.classList.toggle("is-alert", session.is_alert);
    fill(row, session);
    one("[data-badge]", HTMLElement, row).className = `badge badge--${session.tone}`;
    one("[data-page]", HTMLAnchorElement, row).href = session.page;
    const look = one("[data-look]", HTMLAnchorElement, row);
    look.hidden = !session.look;
    if (session.look) look.href = session.look;
    const signal = SIGNALS[/** @type {keyof typeof SIGNALS} */ (session.network)];
    one("[data-net]", HTMLElement, row).className =
      `net net--${signal === "4" ? "good" : signal === "2" ? "poor" : "lost"}`;
    for (const icon of all("[data-signal]", row)) icon.hidden = icon.dataset.signal !== signal;
    for (const words of all("[data-is]", row)) words.hidden = (words.dataset.is === "stopping") !== session.is_stopping;
    for (const control of all("[data-stop], .tick", row)) control.toggleAttribute("disabled", session.is_stopping);
    for (const tick of all(".tick", row))
      if (session.is_stopping && tick instanceof HTMLInputElement) tick.checked = false;
    row.hidden = !this.isWanted(session);
  }

  /** @param {Session} session */
  newRow(session) {
    const row = copy("#row");
    row.dataset.session = session.id;
    name(row, session.user);
    const face = one("[data-face]", HTMLImageElement, row);
    if (session.face) face.src = session.face;
    else face.remove();
    for (const button of all("[data-stop]", row)) {
      button.addEventListener("click", () => this.hooks.onStop(this.shown.get(session.id)?.session ?? session));
    }
    return row;
  }

  /** @param {string} id */
  drop(id) {
    this.shown.get(id)?.row.remove();
    this.shown.delete(id);
  }

  /** Alerts first, then the oldest. A row in the right position is not touched: it may have the focus. */
  order() {
    const rows = [...this.shown.values()].sort(
      (a, b) =>
        Number(b.session.is_alert) - Number(a.session.is_alert) ||
        a.session.created_at.localeCompare(b.session.created_at),
    );
    rows.forEach(({ row }, n) => {
      if (this.rows.children[n] !== row) this.rows.insertBefore(row, this.rows.children[n] ?? null);
    });
  }

  /** @param {Waiter[]} line */
  drawQueue(line) {
    if (!document.querySelector("#line")) return;
    const rows = line.map((waiter) => {
      const row = copy("#waiter");
      row.dataset.since = waiter.since;
      name(row, waiter.user);
      fill(row, waiter);
      for (const button of all("[data-remove]", row))
        button.addEventListener("click", () => this.hooks.onRemove(waiter.id));
      return row;
    });
    one("#line", HTMLElement).replaceChildren(...rows);
    one("#none-wait", HTMLElement).hidden = line.length > 0;
  }

  /** @param {object[]} strangers */
  drawUnknownSessions(strangers) {
    one("#none-strange", HTMLElement).hidden = strangers.length > 0;
    const notes = strangers.map((stranger) => {
      const note = copy("#stranger");
      fill(note, stranger);
      return note;
    });
    one("#strangers", HTMLElement).replaceChildren(...notes);
  }

  /** @param {Record<string, any>} figures */
  drawFigures(figures) {
    for (const element of all("[data-figure]")) say(element, String(figures[element.dataset.figure ?? ""] ?? "–"));
    gauge("#places", figures.open, figures.places);
    gauge("#caps", figures.spent_of_caps, figures.caps);
  }

  /** Advance the times shown. */
  tick() {
    const now = Date.now() + this.clockOffset;
    for (const { session, row } of this.shown.values()) {
      const seconds = Math.max(0, (now - Date.parse(session.created_at)) / 1000);
      say(one("[data-time]", HTMLElement, row), clock(seconds));
      const cost = session.credits_per_minute === null ? "–" : decimal((seconds / 60) * session.credits_per_minute);
      for (const cell of all("[data-credits]", row)) say(cell, cost);
      const left = (Date.parse(session.ends_at) - now) / 1000;
      const ends = one("[data-ends]", HTMLElement, row);
      const isNear = left > 0 && left <= NEAR_S && !session.is_stopping;
      say(ends, isNear ? (ends.dataset.ends ?? "").replace("{time}", `${Math.ceil(left)} s`) : "");
    }
    for (const row of all("#line [role=row]")) {
      say(one("[data-time]", HTMLElement, row), clock((now - Date.parse(row.dataset.since ?? "")) / 1000));
    }
  }

  /** @param {string} query */
  filter(query) {
    this.query = folded(query.trim());
    for (const { session, row } of this.shown.values()) row.hidden = !this.isWanted(session);
    this.count();
  }

  /** @param {Session} session */
  isWanted({ user, persona }) {
    return folded(`${user}\n${persona}`).includes(this.query);
  }

  /** The selected sessions, without those hidden by the filter. */
  chosen() {
    const ids = [...this.shown].filter(([, { row }]) => !row.hidden && row.querySelector(".tick:checked"));
    return ids.map(([id]) => id);
  }

  chooseNone() {
    for (const tick of all(".tick", this.rows)) if (tick instanceof HTMLInputElement) tick.checked = false;
    this.count();
  }

  count() {
    for (const button of all("#stop-chosen")) button.toggleAttribute("disabled", this.chosen().length === 0);
  }
}
