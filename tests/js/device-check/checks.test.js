import assert from "node:assert/strict";
import { test } from "node:test";

import {
  asReport,
  judgeBrowser,
  judgeMicrophone,
  judgeOrigin,
  judgeRoute,
  judgeSpeakers,
  routeSummary,
  summary,
} from "../../../sessions/static/sessions/device-check/checks.js";

const DIRECT = { local: "host", remote: "host", protocol: "udp", roundTripMs: 40, bytes: 0 };
const FOUND = {
  isThere: true,
  refusal: "",
  way: DIRECT,
  hasTcp: true,
  offersTurn: true,
  turn: "tls",
  turnAnswers: true,
  server: "1.13.5",
};
const codes = (found) =>
  Object.fromEntries(
    Object.entries(judgeRoute({ ...FOUND, ...found })).map(([name, { mark, code }]) => [name, `${mark} ${code}`]),
  );
const shut = { way: null, hasTcp: false, turn: "", turnAnswers: false };

test("direct, TCP and relay routes are told apart (requirement 70)", () => {
  assert.deepEqual(codes({}), { udp: "ok fine", tcp: "ok fine", turn: "ok fine" });
  assert.deepEqual(codes({ way: { ...DIRECT, protocol: "tcp" } }), {
    udp: "warn blocked",
    tcp: "ok fine",
    turn: "ok fine",
  });
  assert.equal(codes({ way: { ...DIRECT, roundTripMs: 900 } }).udp, "warn slow");
  assert.deepEqual(codes({ refusal: "network", ...shut }), {
    udp: "bad unreachable",
    tcp: "skipped later",
    turn: "skipped later",
  });
  assert.deepEqual(codes({ isThere: false, ...shut }), {
    udp: "skipped later",
    tcp: "skipped later",
    turn: "skipped later",
  });
});

test("with the relay as the only route, UDP is blocked and the relay present (complaint 23)", () => {
  const relayed = { way: { ...DIRECT, local: "relay" }, hasTcp: false, turn: "udp" };
  assert.deepEqual(codes(relayed), { udp: "warn blocked", tcp: "warn blocked", turn: "ok by_udp" });
  assert.deepEqual(codes({ ...shut, offersTurn: false }), {
    udp: "bad closed",
    tcp: "bad closed",
    turn: "bad missing",
  });
  assert.deepEqual(codes(shut), { udp: "bad closed", tcp: "bad closed", turn: "bad closed" });
  assert.equal(codes({ ...shut, turnAnswers: true }).turn, "bad astray");
  assert.equal(codes({ turn: "", turnAnswers: true }).turn, "warn astray");
  assert.equal(codes({ turn: "", turnAnswers: false }).turn, "warn blocked");
  assert.equal(codes({ offersTurn: false, turn: "", turnAnswers: false }).turn, "skipped none");
  assert.equal(
    routeSummary({ ...FOUND, ...relayed, server: "1.13.5 Frankfurt" }),
    "relay → host · UDP · 40 ms · LiveKit 1.13.5 Frankfurt",
  );
  assert.equal(routeSummary({ ...FOUND, ...shut }), "");
});

test("refused, absent, silent and quiet microphones are told apart and are only warnings (requirement 59, complaint 8)", () => {
  const marks = ["refused", "absent", "busy", "insecure"].map((trouble) => judgeMicrophone({ trouble, loudest: 0 }));
  assert.deepEqual(
    marks.map(({ code }) => code),
    ["refused", "absent", "busy", "insecure"],
  );
  assert.ok(marks.every(({ mark }) => mark === "warn"));
  const levels = [null, 0, 1, 5].map((loudest) => judgeMicrophone({ trouble: "", loudest }).code);
  assert.deepEqual(levels, ["unmeasured", "silent", "quiet", "fine"]);
});

test("HTTP, missing WebRTC and missing H.264 are named (requirement 58, complaint 9)", () => {
  assert.equal(judgeOrigin(false).code, "insecure");
  assert.equal(judgeBrowser({ hasWebRTC: false, codecs: [] }).code, "no_webrtc");
  assert.equal(judgeBrowser({ hasWebRTC: true, codecs: ["video/vp8"] }).code, "no_h264");
  assert.equal(judgeBrowser({ hasWebRTC: true, codecs: ["video/vp8", "video/h264"] }).mark, "ok");
});

test("the summary says whether a conversation will work, and the report is flat", () => {
  const fine = { secure: judgeOrigin(true), speakers: judgeSpeakers(true), ...judgeRoute(FOUND) };
  assert.equal(summary(fine).verdict, "fine");
  assert.equal(summary({ ...fine, speakers: judgeSpeakers(false) }).verdict, "warnings");
  assert.equal(summary({ ...fine, ...judgeRoute({ ...FOUND, refusal: "network" }) }).verdict, "no");
  const report = asReport(fine, { ...DIRECT, local: "relay" }, 0);
  assert.deepEqual(
    [report.udp, report.local, report.remote, report.protocol, report.round_trip_ms, report.checked_at],
    ["ok fine", "relay", "host", "udp", 40, "1970-01-01T00:00:00.000Z"],
  );
  assert.equal(asReport(fine, null, 0).local, "");
  assert.ok(Object.values(report).every((value) => typeof value !== "object"));
});
