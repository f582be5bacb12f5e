import assert from "node:assert/strict";
import { test } from "node:test";
import { Reports } from "../../../sessions/static/sessions/conversation/reports.js";
import { failureReport } from "../../../sessions/static/sessions/recovery/failure-report.js";

test("the failure report has verdicts and steps by the portal's clock, and no speech", () => {
  const reports = new Reports(() => {});
  reports.add("verdict", { code: "no_track", stage: "rejoin", room: "s1" }, 1_000, false);
  reports.add("avatar_end_message", { task_id: "t", message: "A secret.", interrupted: false }, 2_000, false);
  reports.add("ladder", { step: "out", from: "renew", because: "no_track" }, 3_000, false);
  const state = {
    session: { id: "s1" },
    cause: { code: "no_track", words: "" },
    verdict: "no_track",
    providerStatus: "missing",
    clockOffset: 500,
  };
  const made = failureReport(
    { state, reports, lastCheck: { udp: "ok fine" } },
    { persona: "lucia", browserName: "B", now: 4_000 },
  );
  assert.deepEqual(
    [made.session_id, made.made_at, made.cause, made.provider],
    ["s1", "1970-01-01T00:00:04.500Z", "no_track", "missing"],
  );
  assert.deepEqual(
    made.events.map(({ kind, at }) => [kind, at]),
    [
      ["verdict", "1970-01-01T00:00:01.500Z"],
      ["avatar_end_message", "1970-01-01T00:00:02.500Z"],
      ["ladder", "1970-01-01T00:00:03.500Z"],
    ],
  );
  assert.equal(JSON.stringify(made).includes("secret"), false);
});

test("the newest reports of a long conversation are kept", () => {
  const reports = new Reports(() => {});
  for (let number = 0; number < 300; number += 1) reports.add("frozen", { number }, number, false);
  assert.deepEqual([reports.recent.length, reports.recent[0].data.number], [200, 100]);
});
