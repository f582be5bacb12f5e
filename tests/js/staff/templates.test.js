import assert from "node:assert/strict";
import { test } from "node:test";
import { clock } from "../../../sessions/static/sessions/staff/templates.js";

test("elapsed time is formatted as on a clock and never negative", () => {
  assert.deepEqual([0, 9.9, 511, 3600, 4327, -3].map(clock), ["0:00", "0:09", "8:31", "1:00:00", "1:12:07", "0:00"]);
});
