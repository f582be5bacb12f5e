/**
 * Refreshes what a page shows of background jobs: the elements with `data-live`, each of which has an ID. One with a form
 * that is open stays as it is, like the rest of the page. Ends when nothing is under way.
 */

import { all } from "../lib/dom.js";

const POLL_MS = 5000;

async function refresh() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of all("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (!fresh || fresh.textContent === part.textContent || part.querySelector("details[open] form")) continue;
    part.replaceChildren(...fresh.childNodes);
  }
  if (!page.querySelector("[data-under-way]")) clearInterval(polling);
}

const polling = setInterval(() => refresh().catch(() => {}), POLL_MS); // the next poll tries again
