import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Outbox } from "../../../sessions/static/sessions/conversation/outbox.js";

/** @type {Outbox} */
let outbox;
beforeEach(() => {
  let count = 0;
  outbox = new Outbox(() => {
    count += 1;
    return `r${count}`;
  });
});

const taken = () => outbox.take().map(({ text }) => text);

test("texts are sent once, in the order in which they were written", () => {
  for (const text of ["uno", "dos", "tres"]) outbox.add("talk", text);
  assert.deepEqual(taken(), ["uno", "dos", "tres"]);
  assert.deepEqual(taken(), []);
});

test("an accepted text is forgotten, and accepting it twice does no harm", () => {
  outbox.add("talk", "uno");
  outbox.take();
  assert.equal(outbox.sent("r1").text, "uno");
  assert.equal(outbox.sent("r1"), undefined);
  assert.deepEqual(outbox.items, []);
});

test("a failed text waits for a retry and is sent last", () => {
  outbox.add("talk", "uno");
  outbox.take();
  outbox.failed("r1", "No");
  outbox.add("talk", "dos");
  assert.deepEqual(taken(), ["dos"]);
  outbox.add("talk", "tres");
  outbox.retry("r1");
  assert.deepEqual(taken(), ["tres", "uno"]);
});

test("only failed texts can be retried", () => {
  outbox.add("talk", "uno");
  outbox.take();
  assert.equal(outbox.retry("r1"), undefined);
  assert.equal(outbox.retry("nobody"), undefined);
});

test("an ended session fails texts being sent and keeps those waiting", () => {
  outbox.add("talk", "on its way");
  outbox.take();
  outbox.add("repeat", "waits");
  assert.deepEqual(
    outbox.sessionEnded().map(({ text }) => text),
    ["on its way"],
  );
  assert.deepEqual(taken(), ["waits"]);
});
