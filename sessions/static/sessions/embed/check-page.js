/** Checks, in a frame on a site, whether guests can talk there. The page's texts say what to change. */

import { all, one, say } from "../lib/dom.js";
import { NO_STORAGE } from "../lib/storage.js";
import { GuestAccess } from "./guest-access.js";
import { HostSite } from "./host-site.js";

const OPEN_MS = 10_000;

const { check = "", visit = "", socket = "" } = one("#main", HTMLElement).dataset;
const site = new HostSite(window, () => {});

async function run() {
  show("frame", "fine");
  const origin = await site.origin();
  const answer = await fetch(check, { method: "POST", body: JSON.stringify({ origin }) }).then((it) => it.json());
  show("site", origin ? answer.site : "unknown", origin);
  show("microphone", microphone());
  show("cookies", answer.has_cookie ? "fine" : "blocked");
  show("network", answer.site === "fine" ? await network() : "skipped");
  one("#running", HTMLElement).hidden = true;
}

/** @returns {"fine" | "insecure" | "blocked" | "unknown"} */
function microphone() {
  if (!isSecureContext) return "insecure";
  // Browsers without this interface do not say.
  const policy = /** @type {any} */ (document).permissionsPolicy ?? /** @type {any} */ (document).featurePolicy;
  if (!policy) return "unknown";
  return policy.allowsFeature("microphone") ? "fine" : "blocked";
}

/** @returns {Promise<"fine" | "blocked">} */
async function network() {
  const access = new GuestAccess({ url: visit, link: "", storage: NO_STORAGE, site: () => site.origin() });
  const protocols = await access.authorize().catch(() => null);
  if (!protocols) return "blocked";
  const address = new URL(socket, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const opened = new WebSocket(address, protocols);
  const isOpen = await new Promise((resolve) => {
    opened.onopen = () => resolve(true);
    opened.onerror = () => resolve(false);
    setTimeout(() => resolve(false), OPEN_MS);
  });
  opened.close();
  return isOpen ? "fine" : "blocked";
}

/**
 * @param {string} name
 * @param {string} code
 * @param {string} [value]
 */
function show(name, code, value = "") {
  const item = one(`[data-check="${name}"]`, HTMLElement, one("#checks", HTMLElement));
  item.dataset.result = code;
  for (const text of all("[data-code]", item)) text.hidden = text.dataset.code !== code;
  for (const place of all("[data-value]", item)) say(place, value);
}

void run();
