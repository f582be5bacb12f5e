/** What stands while the picture is fetched back, and when it goes on without it. */

import { all, one, say, showOnly } from "../lib/dom.js";

/** @typedef {import("../conversation/conversation.js").Conversation} Conversation */

const TRIES = { reconnect: 0, resubscribe: 0, rejoin: 0, renew: 1 };

export class RecoveryView {
  /** @param {import("../lib/page-data.js").Words} words */
  constructor(words) {
    this.words = words;
  }

  /** @param {Conversation} it */
  draw({ state, room, recovery }) {
    if (state.rung === "off" || state.rung === "picture") return;
    const why = this.words.causes[state.verdict] ?? "";
    say(one("#recovering-why", HTMLElement), why);
    for (const place of all(".why")) say(place, why);
    showOnly("data-rung", state.rung, one("#recovering", HTMLElement));
    this.drawTries(state.rung);
    for (const part of all("[data-planned]"))
      part.hidden = (part.dataset.planned === "yes") !== recovery.renewal.isBegun;
    const { provider } = this.words;
    const says = one("#provider-says", HTMLElement);
    says.hidden = !state.provider;
    say(says, state.provider ? (provider[state.provider] ?? provider[""] ?? "") : "");
    one("#recovering-sound", HTMLElement).hidden = !room?.facts().hasSound;
  }

  /** @param {string} rung */
  drawTries(rung) {
    const now = Object.hasOwn(TRIES, rung) ? TRIES[/** @type {keyof typeof TRIES} */ (rung)] : -1;
    for (const [place, pip] of document.querySelectorAll(".pips i").entries()) {
      pip.classList.toggle("is-done", place < now);
      pip.classList.toggle("is-now", place === now);
    }
  }
}
