import assert from "node:assert/strict";
import { test } from "node:test";

import { handOver, takeOver } from "../../sessions/static/sessions/languages.js";

function storage(kept = {}) {
  return { kept, getItem: (key) => kept[key] ?? null, setItem: (key, value) => (kept[key] = value), removeItem: (key) => delete kept[key] };
}

test("complaint 15: a conversation is handed over to the page of another language, once", () => {
  const tab = storage();
  handOver(tab, "lucia-en", "s1");
  assert.equal(takeOver(tab, "lucia-en"), "s1");
  assert.equal(takeOver(tab, "lucia-en"), "");
});

test("another persona's page goes on with nothing, and what was meant for one is not kept for later", () => {
  const tab = storage();
  handOver(tab, "lucia-en", "s1");
  assert.equal(takeOver(tab, "daniel"), "");
  assert.equal(takeOver(tab, "lucia-en"), "");
});

test("a storage that is forbidden or holds nonsense begins anew", () => {
  const forbidden = { getItem: () => assert.fail("forbidden"), setItem: () => assert.fail("forbidden"), removeItem: () => {} };
  handOver(forbidden, "lucia-en", "s1");
  assert.equal(takeOver(forbidden, "lucia-en"), "");
  for (const nonsense of ["{", "3", '{"persona":"lucia-en","sessionId":7}']) assert.equal(takeOver(storage({ "goes-on": nonsense }), "lucia-en"), "");
});
