import assert from "node:assert/strict";
import { test } from "node:test";

import {
  backoff,
  countdown,
  offsetOf,
  secondsUntil,
  span,
  timeOfDay,
} from "../../../sessions/static/sessions/lib/clock.js";

test("remaining time follows the portal's clock", () => {
  const offset = offsetOf("2026-01-01T00:01:00Z", Date.parse("2026-01-01T00:00:00Z"));
  assert.equal(offset, 60_000);
  assert.equal(secondsUntil("2026-01-01T00:01:42Z", Date.parse("2026-01-01T00:00:00Z") + offset), 42);
  assert.equal(secondsUntil("2025-01-01T00:00:00Z", Date.parse("2026-01-01T00:00:00Z") + offset), 0);
  assert.equal(secondsUntil("", offsetOf("nonsense", 0)), 0);
});

test("countdowns and durations are formatted", () => {
  assert.deepEqual([42, 761, 3723, 0].map(countdown), ["0:42", "12:41", "1:02:03", "0:00"]);
  assert.deepEqual([25, 372, 6480].map(span), ["25 s", "6 min 12 s", "1 h 48 min"]);
});

test("the delay doubles up to a maximum and is never zero", () => {
  const wait = (attempt, random) => backoff(attempt, { first: 500, most: 4_000, random: () => random });
  assert.deepEqual(
    [0, 1, 2, 3, 9].map((attempt) => wait(attempt, 1)),
    [500, 1_000, 2_000, 4_000, 4_000],
  );
  assert.equal(wait(0, 0), 250);
});

test("the time of day has 24 hours in every language", () => {
  const midnight = new Date(2026, 0, 20, 0, 9).toISOString();
  assert.deepEqual(
    ["es", "en"].map((language) => timeOfDay(midnight, language)),
    ["00:09", "00:09"],
  );
  assert.equal(timeOfDay("never", "en"), "");
});
