/** What is told once a conversation is over: how the picture ran, and how the person found it. */

import { on } from "./dom.js";

const OVER = ["ended", "failed", "taken-over"];

/**
 * @param {Pick<import("./conversation.js").Conversation, "report">} conversation
 * @param {import("./picture-watch.js").FrameRate} rate
 * @returns {(now: string) => void}  to be told of each new state of the page
 */
export function setUpAftermath(conversation, rate) {
  on("[name=rate]", "change", ({ target }) => {
    if (target instanceof HTMLInputElement) conversation.report("rated", { rating: target.value });
  });
  return (now) => {
    if (!OVER.includes(now)) return;
    const picture = rate.take();
    if (picture) conversation.report("picture", picture);
    for (const one of document.querySelectorAll("[name=rate]")) if (one instanceof HTMLInputElement) one.checked = false;
  };
}
