/** Shows the progress of a background job by polling the page's own URL with `?progress`. */

import { one } from "../lib/dom.js";

const POLL_MS = 1500;
const bar = one("#progress", HTMLProgressElement);
const rows = one("#rows", HTMLElement);

async function poll() {
  const answer = await fetch(`${location.pathname}?progress`);
  if (!answer.ok) return;
  const { is_under_way, rows_done, rows_total } = await answer.json();
  if (!is_under_way) return location.reload();
  if (rows_total) bar.max = rows_total;
  bar.value = rows_done;
  rows.textContent = rows_total ? `${rows_done} / ${rows_total}` : "…";
}

setInterval(() => poll().catch(() => {}), POLL_MS); // the next poll tries again
