/**
 * The same person in another language is a page of their own. Whoever goes there from a conversation goes on with it
 * at once: which one it is, the browser keeps for that page of this tab, as an address could be anybody's.
 */

import { all } from "./dom.js";

const KEY = "goes-on";

/**
 * @param {Pick<Storage, "setItem">} storage
 * @param {() => string} current  the conversation's ID; empty where there is none
 */
export function setUpLanguages(storage, current) {
  for (const link of all("[data-language]")) {
    link.addEventListener("click", (event) => {
      const isElsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // it stays on here
      if (!isElsewhere && current()) handOver(storage, link.dataset.language ?? "", current());
    });
  }
}

/**
 * @param {Pick<Storage, "setItem">} storage
 * @param {string} persona
 * @param {string} sessionId
 */
export function handOver(storage, persona, sessionId) {
  try {
    storage.setItem(KEY, JSON.stringify({ persona, sessionId }));
  } catch {
    // Without storage the other page begins anew.
  }
}

/**
 * What was handed over, once.
 *
 * @param {Pick<Storage, "getItem" | "removeItem">} storage
 * @param {string} persona  whose page this is
 * @returns {string} the conversation's ID; empty where there is none
 */
export function takeOver(storage, persona) {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "null");
    storage.removeItem(KEY);
    return kept?.persona === persona && typeof kept.sessionId === "string" ? kept.sessionId : "";
  } catch {
    return "";
  }
}
