/** Progress while the video is being restored, and the reason when the conversation goes on without it. */

import { all, one, say, showOnly } from "../lib/dom.js";

/** @typedef {import("../conversation/conversation.js").Conversation} Conversation */

/** Number of the mark that each step lights up. */
const ATTEMPTS = { reconnect: 0, resubscribe: 0, rejoin: 0, renew: 1 };

export class RecoveryView {
  /** @param {import("../lib/page-data.js").Words} words */
  constructor(words) {
    this.words = words;
  }

  /** @param {Conversation} conversation */
  draw({ state, room, recovery }) {
    const { recoveryStep, verdict, providerStatus } = state;
    if (recoveryStep === "off" || recoveryStep === "picture") return;
    const why = this.words.causes[verdict] ?? "";
    say(one("#recovering-why", HTMLElement), why);
    for (const element of all(".why")) say(element, why);
    showOnly("data-rung", recoveryStep, one("#recovering", HTMLElement));
    this.drawAttempts(recoveryStep);
    for (const part of all("[data-planned]")) part.hidden = (part.dataset.planned === "yes") !== recovery.isPlanned;
    const { provider } = this.words;
    const says = one("#provider-says", HTMLElement);
    says.hidden = !providerStatus;
    say(says, providerStatus ? (provider[providerStatus] ?? provider[""] ?? "") : "");
    one("#recovering-sound", HTMLElement).hidden = !room?.facts().hasSound;
  }

  /** @param {string} step */
  drawAttempts(step) {
    const now = Object.hasOwn(ATTEMPTS, step) ? ATTEMPTS[/** @type {keyof typeof ATTEMPTS} */ (step)] : -1;
    for (const [index, pip] of document.querySelectorAll(".pips i").entries()) {
      pip.classList.toggle("is-done", index < now);
      pip.classList.toggle("is-now", index === now);
    }
  }
}
