/** Asks for the reason before sessions are stopped. */

import { one, say } from "../lib/dom.js";

/**
 * Ask for a reason and pass it to `stop`. If the dialog is cancelled, nothing happens.
 *
 * @param {{ user?: string, count?: number }} what  one user's session, a number of sessions, or all
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
