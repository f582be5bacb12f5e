import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Transcript } from "../../../sessions/static/sessions/conversation/transcript.js";

/** @type {Transcript} */
let transcript;
beforeEach(() => {
  transcript = new Transcript();
});

const item = (more = {}) => ({
  ref: "r1",
  kind: "talk",
  text: "Hola ¿cómo estás?",
  delivery: "sending",
  why: "",
  ...more,
});
const stored = (more = {}) => ({
  utteranceId: "7",
  who: "avatar",
  by: "voice",
  text: "Buenas tardes.",
  at: 5_000,
  isInterrupted: false,
  taskId: "t1",
  ...more,
});
const texts = () => transcript.lines.map(({ text }) => text);

test("fragments become one line, and the stored line is not added again", () => {
  transcript.spoken("t1", "Buenas ", 1_000);
  transcript.spoken("t1", "tardes.", 1_200);
  assert.equal(transcript.finished("t1", "").text, "Buenas tardes.");
  transcript.stored(stored());
  transcript.stored(stored());
  assert.deepEqual(texts(), ["Buenas tardes."]);
});

test("a fragment or a second end after the end changes nothing", () => {
  transcript.spoken("t1", "Fin.", 1_000);
  transcript.finished("t1", "");
  transcript.spoken("t1", "Fin.", 1_100);
  assert.equal(transcript.finished("t1", ""), undefined);
  assert.deepEqual(texts(), ["Fin."]);
});

test("lines of different tasks stay apart", () => {
  transcript.spoken("t1", "Uno", 1_000);
  transcript.spoken("t2", "Dos", 1_100);
  transcript.spoken("t1", " y medio", 1_200);
  assert.deepEqual(texts(), ["Uno y medio", "Dos"]);
});

test("a provider without task IDs gets a new line each time", () => {
  transcript.spoken("", "Uno", 1_000);
  transcript.finished("", "");
  transcript.spoken("", "Dos", 2_000);
  assert.deepEqual(texts(), ["Uno", "Dos"]);
});

test("a typed line keeps its text and position until it arrives", () => {
  transcript.written(item({ delivery: "waiting" }), 1_000);
  const { key } = transcript.lines[0];
  transcript.written(item(), 2_000);
  transcript.sent({ ref: "r1", taskId: "t1", at: 2_500 });
  assert.equal(transcript.lines.length, 1);
  assert.deepEqual(
    { ...transcript.lines[0], key },
    { ...transcript.lines[0], text: "Hola ¿cómo estás?", stage: "said", at: 2_500 },
  );
});

test("a transcript sent again after a reconnect duplicates no typed line", () => {
  transcript.written(item(), 1_000);
  transcript.sent({ ref: "r1", taskId: "t1", at: 1_100 });
  transcript.written(item({ ref: "r2" }), 2_000);
  for (const utteranceId of ["1", "2"]) {
    transcript.stored(stored({ utteranceId, who: "user", by: "text", text: "Hola ¿cómo estás?", taskId: "" }));
  }
  assert.deepEqual(
    transcript.lines.map(({ stage, utteranceId }) => [stage, utteranceId]),
    [
      ["said", "1"],
      ["sending", "2"],
    ],
  );
});

test("a line of an earlier time is inserted by time", () => {
  transcript.stored(stored({ utteranceId: "2", taskId: "t2", at: 2_000, text: "Después" }));
  transcript.stored(stored({ utteranceId: "1", taskId: "t1", at: 1_000, text: "Antes" }));
  assert.deepEqual(texts(), ["Antes", "Después"]);
});

test("an interruption marks unfinished lines only", () => {
  transcript.spoken("t1", "Dicho.", 1_000);
  transcript.finished("t1", "");
  transcript.spoken("t2", "Diciéndose", 2_000);
  transcript.interrupted();
  assert.deepEqual(
    transcript.lines.map(({ isInterrupted }) => isInterrupted),
    [false, true],
  );
});

test("a changed line is a new object, an unchanged one the same", () => {
  transcript.spoken("t1", "Uno", 1_000);
  transcript.finished("t1", "");
  transcript.spoken("t2", "Dos", 2_000);
  const before = transcript.lines;
  transcript.spoken("t2", " más", 2_100);
  assert.equal(transcript.lines[0], before[0]);
  assert.notEqual(transcript.lines[1], before[1]);
});

test("a new conversation keeps only unsent texts", () => {
  transcript.spoken("t1", "Adiós", 1_000);
  transcript.written(item({ delivery: "failed" }), 2_000);
  transcript.clear();
  assert.deepEqual(texts(), ["Hola ¿cómo estás?"]);
  assert.equal(transcript.lineCount, 0);
});

test("a typed line follows earlier lines even if the clocks differ", () => {
  transcript.written(item({ ref: "r1", text: "Uno." }), 1_000);
  transcript.sent({ ref: "r1", taskId: "t1", at: 1_500 });
  transcript.written(item({ ref: "r2", text: "Dos." }), 1_400);
  assert.deepEqual(texts(), ["Uno.", "Dos."]);
});

test("a sentence of an answer has its sources, whether they or its words arrive first", () => {
  const sources = [{ number: 1, title: "Hours", page: 4, url: "/s/1" }];
  transcript.sentence("t1", "r1", sources);
  transcript.spoken("t1", "At nine.", 1_000);
  transcript.spoken("t2", "Until six.", 2_000);
  transcript.sentence("t2", "r1", []);
  assert.deepEqual(
    transcript.lines.map(({ answerTo, sources: shown }) => [answerTo, shown]),
    [
      ["r1", sources],
      ["r1", []],
    ],
  );
});

test("the line of a spoken answer has the sources of its sentences, whichever arrives first", () => {
  const [hours, place] = [1, 2].map((number) => ({ number, title: "Visits", page: null, url: "" }));
  transcript.sentence("", "heard:1", [hours, hours], "We open at nine.");
  transcript.spoken("t1", "We open at ", 1_000);
  assert.deepEqual(transcript.lines[0].sources, []);
  transcript.spoken("t1", "nine. We are in the harbour.", 1_100);
  transcript.sentence("", "heard:1", [place], "We are in the harbour.");
  transcript.sentence("", "heard:2", [place], "We never close.");
  assert.deepEqual([transcript.lines[0].answerTo, transcript.lines[0].sources], ["heard:1", [hours, place]]);
});

test("a typed line says that its answer failed", () => {
  transcript.written(item(), 1_000);
  transcript.sent({ ref: "r1", taskId: "", at: 1_000 });
  transcript.unanswered("r1", "");
  assert.equal(transcript.lines[0].why, "");
  transcript.unanswered("r1", "The answer was lost.");
  assert.deepEqual([transcript.lines[0].stage, transcript.lines[0].why], ["said", "The answer was lost."]);
});
