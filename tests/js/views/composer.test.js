import assert from "node:assert/strict";
import { test } from "node:test";

import { isSend, isSendable, lengthOf } from "../../../sessions/static/sessions/views/composer.js";

const LIMITS = { characters: 2_000, code_points: 10_000 };
const enter = (more = {}) => ({
  key: "Enter",
  keyCode: 13,
  shiftKey: false,
  ctrlKey: false,
  metaKey: false,
  isComposing: false,
  ...more,
});

test("Enter sends, and Shift+Enter begins a new line", () => {
  assert.equal(isSend(enter(), false), true);
  assert.equal(isSend(enter({ shiftKey: true }), false), false);
  assert.equal(isSend(enter({ key: "a", keyCode: 65 }), false), false);
});

test("Enter that confirms an input method's candidate does not send", () => {
  assert.equal(isSend(enter({ isComposing: true }), false), false);
  // Safari ends the composition before the key press.
  assert.equal(isSend(enter({ keyCode: 229 }), false), false);
  assert.equal(isSend(enter({ keyCode: 229, ctrlKey: true }), false), false);
});

test("on a touch screen Enter begins a new line, and Ctrl+Enter of a real keyboard sends", () => {
  assert.equal(isSend(enter(), true), false);
  assert.equal(isSend(enter({ ctrlKey: true }), true), true);
  assert.equal(isSend(enter({ metaKey: true }), true), true);
});

test("a text may have as many characters as the counter says, whatever they consist of", () => {
  for (const character of ["x", "e\u0301", "👨‍👩‍👧", "天"]) {
    assert.equal(lengthOf(character.repeat(2_000), LIMITS), 2_000, character);
    assert.equal(isSendable(character.repeat(2_000), LIMITS), true, character);
    assert.equal(isSendable(character.repeat(2_001), LIMITS), false, character);
  }
  assert.equal(isSendable(" \n", LIMITS), false);
});

test("a text with too many code points counts as too long", () => {
  const text = `e${"\u0301".repeat(10_000)}`;
  assert.deepEqual([lengthOf(text, LIMITS), isSendable(text, LIMITS)], [2_001, false]);
  assert.equal(isSendable("x".repeat(1_000_000), LIMITS), false);
});
