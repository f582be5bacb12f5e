import assert from "node:assert/strict";
import { test } from "node:test";

import { graphemes, shortened, storable } from "../../../sessions/static/sessions/lib/characters.js";

test("characters are counted as people and the portal count them", () => {
  // The portal counts the same ones: tests/sessions/actions/test_deadlines.py.
  for (const character of ["x", "é", "e\u0301", "👨‍👩‍👧", "🇪🇸", "क्षि", "한", "天"]) {
    assert.equal(graphemes(character.repeat(2_000)).length, 2_000, character);
  }
});

test("a text is shortened to code points without splitting a character", () => {
  assert.equal(shortened("hola", 4), "hola");
  assert.equal(shortened("holas", 4), "hola");
  assert.equal(shortened("ab😀", 3), "ab😀"); // three code points, four UTF-16 units
  assert.equal(shortened("a👨‍👩‍👧", 5), "a");
  assert.equal(shortened("e\u0301e\u0301", 3), "e\u0301");
});

test("what a database cannot store is removed, and nothing else", () => {
  assert.equal(storable("a\0b\ud800c\udc00d😀"), "abcd😀");
  assert.equal(storable("what is \\u0000 in JSON?"), "what is \\u0000 in JSON?");
});
