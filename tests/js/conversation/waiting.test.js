import assert from "node:assert/strict";
import { test } from "node:test";

import { Waiting } from "../../../sessions/static/sessions/conversation/waiting.js";

const connecting = (more = {}) => ({ phase: "connecting", sessionId: "s1", isBlocked: false, ...more });

test("a page that is hidden while it connects is reported once, and again when it is seen", () => {
  const waiting = new Waiting();
  assert.equal(waiting.next(connecting(), false), null);
  assert.deepEqual([waiting.next(connecting(), true), waiting.next(connecting(), true)], ["hidden", null]);
  assert.deepEqual([waiting.next(connecting(), false), waiting.next(connecting(), false)], ["", null]);
});

test("a page that waits for a tap is reported, hidden or not", () => {
  const waiting = new Waiting();
  assert.equal(waiting.next(connecting({ isBlocked: true }), false), "playback_blocked");
  assert.equal(waiting.next(connecting({ isBlocked: true }), true), null);
  assert.equal(waiting.next(connecting(), true), "hidden");
});

test("nothing is reported without a session, or once it is live", () => {
  const waiting = new Waiting();
  assert.equal(waiting.next(connecting({ sessionId: "", phase: "queue" }), true), null);
  assert.equal(waiting.next(connecting({ phase: "live" }), true), null);
});

test("the next session is reported again", () => {
  const waiting = new Waiting();
  assert.equal(waiting.next(connecting(), true), "hidden");
  assert.equal(waiting.next(connecting({ sessionId: "s2" }), true), "hidden");
});
