import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Reports } from "../../../sessions/static/sessions/conversation/reports.js";

const kinds = (sent) => sent.map(({ kind }) => kind);

test("held reports are sent before an urgent one, in order and with their times", () => {
  const sent = [];
  const reports = new Reports((message) => sent.push(message));
  reports.add("room_connected", {}, 1, true);
  reports.add("track_subscribed", { kind: "video" }, 2, true);
  assert.deepEqual(sent, []);
  reports.add("verdict", {}, 3, false);
  assert.deepEqual(kinds(sent), ["room_connected", "track_subscribed", "verdict"]);
  assert.deepEqual(
    sent.map(({ at }) => at),
    [1, 2, 3],
  );
});

test("the first frame, which the greeting waits for, is sent before the reports that were held", () => {
  const sent = [];
  const reports = new Reports((message) => sent.push(message));
  reports.add("room_connected", {}, 1, true);
  reports.add("track_subscribed", { kind: "video" }, 2, true);
  reports.addFirst("first_frame", {}, 3);
  assert.deepEqual(kinds(sent), ["first_frame", "room_connected", "track_subscribed"]);
  assert.deepEqual(
    sent.map(({ at }) => at),
    [3, 1, 2],
  );
});

test("without a first frame, held reports are sent once after a delay", () => {
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
