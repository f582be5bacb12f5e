/**
 * Continues a conversation on the persona's page in another language. The tab's session storage passes it on, as a URL
 * could come from any site.
 */

import { all } from "../lib/dom.js";

const KEY = "goes-on";

/** @typedef {{ sessionId: string, unsent: { kind: "talk" | "repeat", text: string }[] }} Handover */

/**
 * @param {Pick<Storage, "setItem">} storage
 * @param {() => Handover} current  with an empty ID if there is no conversation
 */
export function setUpLanguageSwitch(storage, current) {
  for (const link of all("[data-language]")) {
    link.addEventListener("click", (event) => {
      const isElsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // the conversation stays in this tab
      if (!isElsewhere && current().sessionId) handOver(storage, link.dataset.language ?? "", current());
    });
  }
}

/**
 * @param {Pick<Storage, "setItem">} storage
 * @param {string} persona
 * @param {Handover} handover
 */
export function handOver(storage, persona, handover) {
  try {
    storage.setItem(KEY, JSON.stringify({ persona, ...handover }));
  } catch {
    // Without storage, the other page starts a new conversation.
  }
}

/**
 * Take the handover, once.
 *
 * @param {Pick<Storage, "getItem" | "removeItem">} storage
 * @param {string} persona  of this page
 * @returns {Handover} with an empty ID if there is none
 */
export function takeHandover(storage, persona) {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "null");
    storage.removeItem(KEY);
    if (kept?.persona === persona && kept.sessionId) return { sessionId: kept.sessionId, unsent: kept.unsent ?? [] };
  } catch {
    // storage is forbidden, or its value broken
  }
  return { sessionId: "", unsent: [] };
}
