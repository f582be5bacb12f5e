/** Once a conversation is over: report the frame rate and the rating, and offer the failure report. */

import { all, on, save } from "../lib/dom.js";
import { failureReport } from "../recovery/failure-report.js";

const OVER = ["ended", "failed", "taken-over"];

/**
 * @param {import("../conversation/conversation.js").Conversation} conversation
 * @param {import("../recovery/frame-watch.js").FrameRate} rate
 * @returns {(screen: string) => void}  call it when the screen changes
 */
export function setUpAfterEnd(conversation, rate) {
  on("[name=rate]", "change", ({ target }) => {
    if (target instanceof HTMLInputElement) conversation.report("rated", { rating: target.value });
  });
  on("#failure", "click", () => {
    const page = {
      persona: document.body.dataset.persona ?? "",
      browserName: navigator.userAgent,
      now: conversation.clock(),
    };
    save("report.json", JSON.stringify(failureReport(conversation, page), null, 2), "application/json");
  });
  return (screen) => {
    if (!OVER.includes(screen)) return;
    const frameRate = rate.take();
    if (frameRate) conversation.report("picture", frameRate);
    for (const choice of all("[name=rate]")) if (choice instanceof HTMLInputElement) choice.checked = false;
  };
}
