import assert from "node:assert/strict";
import { test } from "node:test";

import { SavedSession } from "../../../sessions/static/sessions/conversation/saved-session.js";

test("a session is saved for its own page only, and forbidden storage is no failure", () => {
  const kept = new Map();
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  };
  const place = { sessionId: "s1", url: "ws://room", token: "t", name: "", unsent: [] };
  const memory = new SavedSession(storage, "lucia");
  memory.keep(place);
  assert.deepEqual(memory.recall(), place);
  assert.equal(new SavedSession(storage, "daniel").recall(), null);
  memory.keep({ ...place, name: "ours" });
  assert.deepEqual(memory.recall(), { ...place, name: "ours", token: "" });
  memory.forget();
  assert.equal(memory.recall(), null);
  const refuse = () => {
    throw new Error("forbidden");
  };
  const forbidden = new SavedSession({ getItem: refuse, setItem: refuse, removeItem: refuse }, "lucia");
  forbidden.keep(place);
  forbidden.forget();
  assert.equal(forbidden.recall(), null);
});
