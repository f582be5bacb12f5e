import assert from "node:assert/strict";
import { test } from "node:test";

import { handOver, takeHandover } from "../../../sessions/static/sessions/views/language-switch.js";

const NOTHING = { sessionId: "", unsent: [] };

function storage(kept = {}) {
  return {
    kept,
    getItem: (key) => kept[key] ?? null,
    setItem: (key, value) => (kept[key] = value),
    removeItem: (key) => delete kept[key],
  };
}

test("a conversation is handed over once to the page in another language (complaint 15)", () => {
  const tab = storage();
  const going = { sessionId: "s1", unsent: [{ kind: "talk", text: "¿Y mañana?" }] };
  handOver(tab, "lucia-en", going);
  assert.deepEqual(takeHandover(tab, "lucia-en"), going);
  assert.deepEqual(takeHandover(tab, "lucia-en"), NOTHING);
});

test("another persona's page takes no handover, and the handover is not kept", () => {
  const tab = storage();
  handOver(tab, "lucia-en", { sessionId: "s1", unsent: [] });
  assert.deepEqual(takeHandover(tab, "daniel"), NOTHING);
  assert.deepEqual(takeHandover(tab, "lucia-en"), NOTHING);
});

test("forbidden or broken storage starts a new conversation", () => {
  const forbidden = {
    getItem: () => assert.fail("forbidden"),
    setItem: () => assert.fail("forbidden"),
    removeItem: () => {},
  };
  handOver(forbidden, "lucia-en", { sessionId: "s1", unsent: [] });
  assert.deepEqual(takeHandover(forbidden, "lucia-en"), NOTHING);
  for (const nonsense of ["{", "3", '{"persona":"lucia-en"}'])
    assert.deepEqual(takeHandover(storage({ "goes-on": nonsense }), "lucia-en"), NOTHING);
});
