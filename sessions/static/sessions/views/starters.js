/** Suggested questions. Choosing one before the start begins the conversation; it is asked once the avatar is there. */

import { screenOf } from "../conversation/state.js";
import { storable } from "../lib/characters.js";
import { all, on, one } from "../lib/dom.js";

/** @param {Pick<import("../conversation/conversation.js").Conversation, "state" | "say">} conversation */
export function setUpStarters(conversation) {
  on("[data-starter]", "click", ({ currentTarget }) => {
    const text = currentTarget instanceof HTMLElement ? (currentTarget.textContent ?? "") : "";
    if (isReady(conversation)) one("#start", HTMLButtonElement).click();
    else one("[role=log]", HTMLElement).focus({ preventScroll: true }); // the button goes away
    if (isReady(conversation)) return; // something has to be accepted first
    conversation.say("talk", storable(text));
    for (const starter of all("[data-starter]")) if (starter.textContent === text) starter.parentElement?.remove();
  });
}

/** @param {Pick<import("../conversation/conversation.js").Conversation, "state">} conversation */
function isReady({ state }) {
  return screenOf(state) === "ready";
}
