import assert from "node:assert/strict";
import { test } from "node:test";

import { asReport, judgeBrowser, judgeMicrophone, judgeOrigin, judgeSpeakers, judgeWay, summary } from "../../sessions/static/sessions/checkup.js";

const WAY = { isThere: true, refusal: "", protocol: "udp", roundTripMs: 40, hasTcp: true, offersTurn: true, hasTurn: true };
const codes = (found) => Object.fromEntries(Object.entries(judgeWay({ ...WAY, ...found })).map(([name, { mark, code }]) => [name, `${mark} ${code}`]));

test("demand 70: the ways to the room are told apart: direct, by TCP, by the relay", () => {
  assert.deepEqual(codes({}), { udp: "ok fine", tcp: "ok fine", turn: "ok fine" });
  assert.deepEqual(codes({ protocol: "tcp", hasTcp: false }), { udp: "warn blocked", tcp: "ok fine", turn: "ok fine" });
  assert.deepEqual(codes({ roundTripMs: 900 }).udp, "warn slow");
  assert.deepEqual(codes({ offersTurn: false, hasTurn: false }).turn, "skipped none");
  assert.deepEqual(codes({ hasTurn: false }).turn, "warn blocked");
  assert.deepEqual(codes({ refusal: "network" }), { udp: "bad unreachable", tcp: "skipped later", turn: "skipped later" });
  assert.deepEqual(codes({ isThere: false }), { udp: "skipped later", tcp: "skipped later", turn: "skipped later" });
});

test("demand 59 and complaint 8: a microphone that is refused, absent, silent or soft is told apart, and none is needed to write", () => {
  const marks = ["refused", "absent", "busy", "insecure"].map((trouble) => judgeMicrophone({ trouble, loudest: 0 }));
  assert.deepEqual(marks.map(({ code }) => code), ["refused", "absent", "busy", "insecure"]);
  assert.ok(marks.every(({ mark }) => mark === "warn"));
  const levels = [0, 1, 5].map((loudest) => judgeMicrophone({ trouble: "", loudest }).code);
  assert.deepEqual(levels, ["silent", "quiet", "fine"]);
});

test("demand 58 and complaint 9: HTTP, a browser without WebRTC and one without H.264 are named", () => {
  assert.equal(judgeOrigin(false).code, "insecure");
  assert.equal(judgeBrowser({ hasWebRTC: false, codecs: [] }).code, "no_webrtc");
  assert.equal(judgeBrowser({ hasWebRTC: true, codecs: ["video/vp8"] }).code, "no_h264");
  assert.equal(judgeBrowser({ hasWebRTC: true, codecs: ["video/vp8", "video/h264"] }).mark, "ok");
});

test("the summary says whether a conversation will work, and the report is small and flat", () => {
  const fine = { secure: judgeOrigin(true), speakers: judgeSpeakers(true), ...judgeWay(WAY) };
  assert.equal(summary(fine).verdict, "fine");
  assert.equal(summary({ ...fine, speakers: judgeSpeakers(false) }).verdict, "look");
  assert.equal(summary({ ...fine, ...judgeWay({ ...WAY, refusal: "network" }) }).verdict, "no");
  const report = asReport(fine, 0);
  assert.deepEqual([report.udp, report.round_trip_ms, report.checked_at], ["ok fine", 40, "1970-01-01T00:00:00.000Z"]);
  assert.ok(Object.values(report).every((value) => typeof value !== "object"));
});
