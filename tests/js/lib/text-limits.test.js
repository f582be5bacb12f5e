import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const SCRIPT = readFileSync(new URL("../../../static/portal/text-limits.js", import.meta.url), "utf8");

/** @returns what the field says of each text, as a person types them */
function said(texts, limits = { minCharacters: "2", maxCharacters: "3" }) {
  class HTMLInputElement {}
  const field = Object.assign(new HTMLInputElement(), {
    value: "",
    dataset: { tooShort: "short", tooLong: "long", ...limits },
  });
  field.setCustomValidity = (words) => (field.words = words);
  let type;
  const document = { addEventListener: (_name, listener) => (type = listener), querySelectorAll: () => [field] };
  vm.runInNewContext(SCRIPT, { document, Intl, HTMLInputElement, HTMLTextAreaElement: HTMLInputElement });
  return texts.map((text) => {
    field.value = text;
    type({ target: field });
    return field.words;
  });
}

test("a text field's limits count an emoji, and a letter with its accents, as one character", () => {
  assert.deepEqual(said(["", "a", "aé", "abc", "abcd", " abc "]), ["", "short", "", "", "long", ""]);
  for (const character of ["👩‍👩‍👧", "é", "क्षि", "🇪🇸"]) {
    assert.deepEqual(said([character, character.repeat(2), character.repeat(4)]), ["short", "", "long"], character);
  }
});

test("a text of a few characters with very many marks is too long", () => {
  assert.deepEqual(said([`e${"\u0301".repeat(14)}`, `e${"\u0301".repeat(15)}`]), ["short", "long"]);
});
