/**
 * The same person in another language is a page of their own. Whoever goes there from a conversation goes on with it
 * at once: which one it is, the browser keeps for that page of this tab, as an address could be anybody's.
 */

import { all } from "../lib/dom.js";

const KEY = "goes-on";

/** @typedef {{ sessionId: string, unsent: { kind: "talk" | "repeat", text: string }[] }} Going  what goes along */

/**
 * @param {Pick<Storage, "setItem">} storage
 * @param {() => Going} current  without an ID where there is no conversation
 */
export function setUpLanguageSwitch(storage, current) {
  for (const link of all("[data-language]")) {
    link.addEventListener("click", (event) => {
      const isElsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // it stays on here
      if (!isElsewhere && current().sessionId) handOver(storage, link.dataset.language ?? "", current());
    });
  }
}

/**
 * @param {Pick<Storage, "setItem">} storage
 * @param {string} persona
 * @param {Going} going
 */
export function handOver(storage, persona, going) {
  try {
    storage.setItem(KEY, JSON.stringify({ persona, ...going }));
  } catch {
    // Without storage the other page begins anew.
  }
}

/**
 * What was handed over, once.
 *
 * @param {Pick<Storage, "getItem" | "removeItem">} storage
 * @param {string} persona  whose page this is
 * @returns {Going} without an ID where there is nothing
 */
export function takeOver(storage, persona) {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "null");
    storage.removeItem(KEY);
    if (kept?.persona === persona && kept.sessionId) return { sessionId: kept.sessionId, unsent: kept.unsent ?? [] };
  } catch {
    // forbidden or broken: nothing goes along
  }
  return { sessionId: "", unsent: [] };
}
