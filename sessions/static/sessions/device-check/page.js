/** The device check: runs the probes, shows their findings and keeps them for the next conversation. */

import { all, on, one, save, say, showOnly } from "../lib/dom.js";
import { LiveKit } from "../lib/livekit.js";
import { preferencesIn } from "../voice/preferences.js";
import {
  asReport,
  CHECKS,
  judgeBrowser,
  judgeMicrophone,
  judgeOrigin,
  judgeRoute,
  judgeSpeakers,
  routeSummary,
  summary,
} from "./checks.js";
import { keepCheck } from "./last-check.js";
import { playTone, probeBrowser, probeMicrophone } from "./probes.js";
import { probeRoute } from "./route-probe.js";

/** @typedef {import("./checks.js").Check} Check */
/** @typedef {import("./checks.js").Finding} Finding */

const list = one("#checks", HTMLElement);
const level = one("#level", HTMLElement);
const device = one("#device", HTMLSelectElement);
const preferences = preferencesIn(localStorage);
/** @type {Partial<Record<Check, Finding>>} */
let findings = {};
let report = {};
/** @type {import("../room/ice-route.js").IceRoute | null} */
let way = null;
/** Why the portal offered no room for the check, in the page's language. */
let refusal = "";

async function run() {
  findings = {};
  one("#begin", HTMLButtonElement).disabled = device.disabled = true;
  one("#after", HTMLElement).hidden = one("#route-used", HTMLElement).hidden = true;
  say(one("#summary", HTMLElement), one("#summary", HTMLElement).dataset.running ?? "");
  for (const check of CHECKS) show(check, "waiting");
  note("secure", judgeOrigin(isSecureContext));
  note("browser", judgeBrowser(probeBrowser()));
  const followed = checkRoutes();
  await hear();
  show("speakers", "running");
  await playTone();
  const heard = await answer();
  note("speakers", judgeSpeakers(heard));
  await followed;
  finish();
}

async function hear() {
  show("microphone", "running");
  const heard = await probeMicrophone(preferences.recall("device"), (loud) => (level.dataset.level = String(loud)));
  device.replaceChildren(...heard.choices.map(({ id, name }) => new Option(name, id, false, id === heard.deviceId)));
  one("#which", HTMLElement).hidden = heard.choices.length === 0;
  note("microphone", judgeMicrophone(heard));
}

/** Check another microphone at once. The room will use it too. */
async function switchMicrophone() {
  preferences.keep("device", device.value);
  one("#begin", HTMLButtonElement).disabled = device.disabled = true;
  await hear();
  finish();
}

async function checkRoutes() {
  for (const check of /** @type {const} */ (["udp", "tcp", "turn"])) show(check, "running");
  const found = await probeRoute(LiveKit, await access());
  const judged = judgeRoute(found);
  for (const check of /** @type {const} */ (["udp", "tcp", "turn"])) note(check, judged[check]);
  way = found.way;
  const route = routeSummary(found);
  say(one("#route", HTMLElement), route || refusal);
  one("#route-used", HTMLElement).hidden = !route;
}

/** Ask for a room to check the network with. Null unless the portal has a LiveKit server of its own. */
async function access() {
  const headers = { "X-CSRFToken": one("[name=csrfmiddlewaretoken]", HTMLInputElement).value };
  const given = await fetch(list.dataset.room ?? "", { method: "POST", headers }).catch(() => null);
  refusal = given?.status === 429 ? (await given.json()).words : "";
  return given?.status === 200 ? given.json() : null;
}

/** @returns {Promise<boolean>} whether the user heard the tone */
function answer() {
  one("#heard", HTMLElement).hidden = false;
  one("#yes", HTMLButtonElement).focus();
  return new Promise((resolve) => {
    const decide = (/** @type {boolean} */ wasHeard) => {
      one("#heard", HTMLElement).hidden = true;
      resolve(wasHeard);
    };
    one("#yes", HTMLButtonElement).onclick = () => decide(true);
    one("#no", HTMLButtonElement).onclick = () => decide(false);
  });
}

/**
 * @param {Check} check
 * @param {Finding} finding
 */
function note(check, finding) {
  findings[check] = finding;
  show(check, finding.mark, finding.code, finding.value);
}

/**
 * @param {Check} check
 * @param {string} mark
 * @param {string} [code]
 * @param {number} [value]
 */
function show(check, mark, code = "", value) {
  const item = one(`[data-check=${check}]`, HTMLElement, list);
  item.className =
    { warn: "is-warn", bad: "is-bad", running: "is-run", waiting: "is-wait", skipped: "is-wait" }[mark] ?? "";
  showOnly("data-mark", mark, item);
  showOnly("data-code", code, item);
  for (const element of all("[data-value]", item)) say(element, value === undefined ? "" : String(value));
}

function finish() {
  const { verdict, counts } = summary(findings);
  report = asReport(findings, way, Date.now());
  keepCheck(report);
  const message = one("#summary", HTMLElement);
  say(message, message.dataset[verdict] ?? "");
  for (const [mark, count] of Object.entries(counts)) say(one(`[data-count=${mark}]`, HTMLElement), String(count));
  one("#sum", HTMLElement).className = `card pad sum is-${verdict}`;
  one("#counts", HTMLElement).hidden = false;
  one("#after", HTMLElement).hidden = false;
  one("#begin", HTMLButtonElement).disabled = device.disabled = false;
  document.body.dataset.checked = verdict;
}

function download() {
  save("check.json", JSON.stringify({ ...report, browser_name: navigator.userAgent }, null, 2), "application/json");
}

on("#begin", "click", () => void run());
on("#again", "click", () => void playTone());
on("#download", "click", download);
on("#device", "change", () => void switchMicrophone());
one("#begin", HTMLButtonElement).disabled = false;
