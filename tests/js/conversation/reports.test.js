import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Reports } from "../../../sessions/static/sessions/conversation/reports.js";

const kinds = (sent) => sent.map(({ kind }) => kind);

test("what may wait is told together with what may not, in its order and with its own moment", () => {
  const sent = [];
  const reports = new Reports((message) => sent.push(message));
  reports.add("room_connected", {}, 1, true);
  reports.add("track_subscribed", { kind: "video" }, 2, true);
  assert.deepEqual(sent, []);
  reports.add("first_frame", {}, 3, false);
  assert.deepEqual(kinds(sent), ["room_connected", "track_subscribed", "first_frame"]);
  assert.deepEqual(
    sent.map(({ at }) => at),
    [1, 2, 3],
  );
});

test("with no frame, what waited is told all the same, and once", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const sent = [];
  const reports = new Reports((message) => sent.push(message));
  reports.add("room_connected", {}, 1, true);
  mock.timers.tick(2_000);
  assert.deepEqual(kinds(sent), ["room_connected"]);
  reports.flush();
  assert.equal(sent.length, 1);
  mock.timers.reset();
});
