import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Captions } from "../../../sessions/static/sessions/conversation/captions.js";

/** @type {Captions} */
let captions;
beforeEach(() => {
  captions = new Captions();
});

const LINE = "El viernes hay dos huecos: a las cuatro y a las cinco y cuarto.";
const said = () => captions.caption.said;

test("words sent as they are spoken are shown as they arrive", () => {
  captions.begin("t1", 0);
  captions.add("t1", "El ", 0);
  assert.deepEqual(captions.caption, { said: "El", next: "" });
  assert.equal(captions.isAhead, false);
  captions.add("t1", "viernes ", 150);
  captions.advance(200);
  assert.equal(said(), "El viernes");
});

for (const [language, line] of [
  ["Spanish", LINE],
  ["English", "Let’s look at it together. Which month does not add up?"],
]) {
  test(`a text that arrives at once is spread over its speaking time, in ${language}`, () => {
    captions.add("t1", line, 0);
    captions.begin("t1", 100);
    assert.ok(said().split(" ").length <= 1);
    assert.equal(captions.isAhead, true);
    captions.advance(1_600);
    assert.ok(line.startsWith(said()));
    assert.equal(`${said()} ${captions.caption.next}`, line);
    assert.ok(said().length > 15 && said().length < 40, said());
    captions.advance(6_000);
    assert.deepEqual(captions.caption, { said: line, next: "" });
  });
}

test("no caption is shown before the avatar speaks", () => {
  captions.add("t1", LINE, 0);
  captions.advance(400);
  assert.equal(said(), "");
});

test("words are shown even if the start of speech was not reported", () => {
  captions.add("t1", "El ", 0);
  captions.add("t1", "viernes ", 3_000);
  assert.equal(said(), "El");
});

test("captions wait for a pause in the speech, but not for long", () => {
  captions.add("t1", LINE, 0);
  captions.begin("t1", 0);
  captions.advance(500, true);
  const before = said();
  for (let now = 600; now <= 1_500; now += 100) captions.advance(now, false);
  assert.equal(said(), before);
  for (let now = 1_600; now <= 8_000; now += 100) captions.advance(now, false);
  assert.equal(said(), LINE);
});

test("the end of speech completes the line, and the next one starts empty", () => {
  captions.begin("t1", 0);
  captions.add("t1", LINE, 0);
  captions.end("t1");
  assert.equal(said(), LINE);
  captions.begin("t2", 5_000);
  assert.equal(said(), "");
  captions.add("t2", "Adiós.", 5_000);
  assert.equal(said(), "Adiós.");
});

test("the end of another line changes nothing", () => {
  captions.begin("t1", 0);
  captions.add("t1", LINE, 0);
  captions.end("t0");
  assert.equal(captions.isSpeaking, true);
});

test("a long text is split into captions that later words do not change", () => {
  const words = [...Array(80).keys()].map((number) =>
    number % 12 === 11 ? `palabra${number}. ` : `palabra${number} `,
  );
  captions.begin("t1", 0);
  const shown = new Set();
  for (const [place, word] of words.entries()) {
    captions.add("t1", word, place * 400);
    captions.advance(place * 400 + 390);
    const caption = captions.caption.said;
    assert.ok(caption.length <= 96, caption);
    assert.ok(caption.endsWith(word.trim()), caption);
    shown.add(caption.split(" ")[0]);
  }
  assert.ok(shown.size < 16); // each caption grows; it does not move
});

test("without task IDs, a new line begins after the end of the previous one", () => {
  captions.begin("", 0);
  captions.add("", "Uno.", 0);
  captions.end("");
  captions.begin("", 2_000);
  captions.add("", "Dos.", 2_000);
  assert.equal(said(), "Dos.");
});
