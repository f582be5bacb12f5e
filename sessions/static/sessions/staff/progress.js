/** How far a job of the worker is, until it is over: the page asks itself, with ?progress. */

import { one } from "../lib/dom.js";

const EVERY_MS = 1500;
const bar = one("#progress", HTMLProgressElement);
const rows = one("#rows", HTMLElement);

async function look() {
  const answer = await fetch(`${location.pathname}?progress`);
  if (!answer.ok) return;
  const { is_under_way, rows_done, rows_total } = await answer.json();
  if (!is_under_way) return location.reload();
  if (rows_total) bar.max = rows_total;
  bar.value = rows_done;
  rows.textContent = rows_total ? `${rows_done} / ${rows_total}` : "…";
}

setInterval(() => look().catch(() => {}), EVERY_MS); // a portal that is away for a moment is asked again
