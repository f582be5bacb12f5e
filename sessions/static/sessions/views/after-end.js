/** What is told once a conversation is over: how the picture ran, how the person found it, and what went wrong. */

import { on, save } from "../lib/dom.js";
import { failureReport } from "../recovery/failure-report.js";

const OVER = ["ended", "failed", "taken-over"];

/**
 * @param {import("../conversation/conversation.js").Conversation} conversation
 * @param {import("../recovery/frame-watch.js").FrameRate} rate
 * @returns {(now: string) => void}  to be told of each new state of the page
 */
export function setUpAfterEnd(conversation, rate) {
  on("[name=rate]", "change", ({ target }) => {
    if (target instanceof HTMLInputElement) conversation.report("rated", { rating: target.value });
  });
  on("#failure", "click", () => {
    const here = {
      persona: document.body.dataset.persona ?? "",
      browserName: navigator.userAgent,
      now: conversation.clock(),
    };
    save("report.json", JSON.stringify(failureReport(conversation, here), null, 2), "application/json");
  });
  return (now) => {
    if (!OVER.includes(now)) return;
    const picture = rate.take();
    if (picture) conversation.report("picture", picture);
    for (const one of document.querySelectorAll("[name=rate]"))
      if (one instanceof HTMLInputElement) one.checked = false;
  };
}
