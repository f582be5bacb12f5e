/** Nothing is stopped without a reason. */

import { one, say } from "../lib/dom.js";

/**
 * Ask why, and hand the reason on; nothing happens when it is given up.
 *
 * @param {{ user?: string, count?: number }} what  one person's session, so many, or all of them
 * @param {(reason: string) => void} stop
 */
export function askToStop({ user, count }, stop) {
  const dialog = one("#ask", HTMLDialogElement);
  const form = one("form", HTMLFormElement, dialog);
  const reason = one("#reason", HTMLTextAreaElement);
  const title = one("#ask-what", HTMLElement);
  const words = user !== undefined ? title.dataset.one : count !== undefined ? title.dataset.many : title.dataset.all;
  say(title, (words ?? "").replace("{user}", user ?? "").replace("{n}", String(count)));
  reason.value = "";
  form.onsubmit = () => stop(reason.value);
  dialog.showModal();
  reason.focus();
}
