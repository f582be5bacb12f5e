/** Copies the transcript of a past conversation. Without this script it can be downloaded. */

import { one, say } from "./lib/dom.js";

const button = document.querySelector("#copy");
if (button instanceof HTMLButtonElement && navigator.clipboard) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const { source = "", copied = "" } = button.dataset;
    const message = one("#copied", HTMLElement);
    message.textContent = "";
    const answer = await fetch(source);
    if (!answer.ok) return;
    await navigator.clipboard.writeText(await answer.text());
    say(message, copied);
  });
}
