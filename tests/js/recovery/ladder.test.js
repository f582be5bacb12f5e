import assert from "node:assert/strict";
import { test } from "node:test";

import {
  climb,
  isRecovering,
  LIMITS_MS,
  MAX_REJOINS,
  MAX_RENEWALS,
  OFF,
} from "../../../sessions/static/sessions/recovery/ladder.js";

const LOOK = 250;
const WELL = { hasAvatar: true, hasSound: true };

/** A ladder with a clock: tells what it stood on, step by step. */
class Climber {
  now = 0;
  ladder = OFF;
  steps = [];
  tell(type, facts = {}) {
    this.ladder = climb(this.ladder, { type, at: this.now, ...facts });
    if (this.ladder.step !== (this.steps.at(-1) ?? "off")) this.steps.push(this.ladder.step);
    return this;
  }
  wait(ms, facts = WELL) {
    for (const end = this.now + ms; this.now < end; ) {
      this.now += LOOK;
      this.tell("tick", facts);
    }
    return this;
  }
  play(ms) {
    for (const end = this.now + ms; this.now < end; this.tell("frame")) this.now += LOOK;
    return this;
  }
}
const begun = () => new Climber().tell("begin");

test("without video the room is joined again after five seconds (requirement 66)", () => {
  assert.equal(begun().wait(5_000 - LOOK).ladder.step, "picture");
  assert.equal(begun().wait(5_000).ladder.step, "rejoin");
});

test("a closed room is not joined again but replaced by a new session (complaint 6)", () => {
  const closed = { hasAvatar: false, refusal: "closed" };
  assert.deepEqual(begun().play(5_000).wait(6_000, closed).tell("refused", closed).steps, ["picture", "renew"]);
});

test("a video that stands still for three seconds counts as lost (requirement 54)", () => {
  const climber = begun().play(10_000);
  assert.equal(climber.wait(LIMITS_MS.frozen - LOOK).ladder.step, "picture");
  assert.equal(climber.wait(LOOK).ladder.step, "rejoin");
  assert.equal(climber.play(LOOK).ladder.step, "picture");
});

test("each step leads to the next, down to what is left", () => {
  const way = (facts) => begun().wait(60_000, facts).steps;
  assert.deepEqual(way(WELL), ["picture", "rejoin", "renew", "sound"]);
  assert.deepEqual(way({ hasAvatar: true }), ["picture", "rejoin", "renew", "text"]);
  assert.deepEqual(way({}), ["picture", "rejoin", "renew", "out"]);
});

test("a new session has its own time limit, and its video ends the recovery", () => {
  const climber = begun().wait(LIMITS_MS.first + LIMITS_MS.retry);
  assert.equal(climber.ladder.step, "renew");
  climber
    .wait(LIMITS_MS.renew - LOOK)
    .tell("begin")
    .wait(LIMITS_MS.fresh - LOOK);
  assert.equal(climber.ladder.step, "renew");
  assert.equal(climber.play(LOOK).ladder.step, "picture");
});

test("LiveKit reconnects first, then resubscribes, then rejoins (complaint 10)", () => {
  const away = { ...WELL, isReconnecting: true };
  const climber = begun().play(5_000).wait(4_000, away);
  assert.equal(climber.ladder.step, "reconnect");
  assert.equal(climber.wait(LOOK).ladder.step, "resubscribe");
  assert.equal(climber.wait(LIMITS_MS.frozen).ladder.step, "rejoin");
  assert.deepEqual(
    begun()
      .play(5_000)
      .wait(LIMITS_MS.frozen + LIMITS_MS.away, away).steps,
    ["picture", "reconnect", "rejoin"],
  );
});

test("a short reconnect resubscribes first too", () => {
  const climber = begun()
    .play(5_000)
    .wait(500, { ...WELL, isReconnecting: true })
    .wait(3_000);
  assert.deepEqual(climber.steps, ["picture", "resubscribe"]);
});

test("time limits pause while the page is hidden or blocked, then start afresh (requirement 61)", () => {
  for (const facts of [{ isHidden: true }, { isBlocked: true }]) {
    const climber = begun().wait(60_000, { ...WELL, ...facts });
    assert.deepEqual(climber.steps, ["picture"]);
    assert.equal(climber.wait(LIMITS_MS.first - LOOK).ladder.step, "picture");
    assert.equal(
      begun()
        .play(1_000)
        .wait(60_000, { ...WELL, ...facts })
        .wait(1_000).ladder.step,
      "picture",
    );
  }
});

test("an unstable video is rejoined three times, then renewed at most twice", () => {
  const climber = begun();
  for (let round = 0; round < 20; round += 1) {
    climber.play(2_000).wait(LIMITS_MS.frozen);
    if (climber.ladder.step === "renew") climber.tell("begin");
  }
  const count = (step) => climber.steps.filter((one) => one === step).length;
  assert.equal(count("renew"), MAX_RENEWALS);
  assert.ok(count("rejoin") <= MAX_REJOINS * (MAX_RENEWALS + 1));
});

test("a minute of steady video resets the number of rejoins", () => {
  const climber = begun();
  for (let round = 0; round < 6; round += 1) climber.play(LIMITS_MS.steady + 1_000).wait(LIMITS_MS.frozen);
  assert.ok(!climber.steps.includes("renew"));
});

test("a user who chose sound only keeps it until asking again", () => {
  const climber = begun().wait(LIMITS_MS.first).tell("settle", WELL).play(5_000);
  assert.equal(climber.ladder.step, "sound");
  assert.equal(climber.tell("again").ladder.step, "rejoin");
  assert.equal(climber.play(LOOK).ladder.step, "picture");
});

test("without sound the text remains; sound is used again when it returns", () => {
  const climber = begun().wait(60_000);
  assert.equal(climber.ladder.step, "sound");
  assert.equal(climber.wait(LOOK, { hasAvatar: true }).ladder.step, "text");
  assert.equal(climber.wait(LOOK).ladder.step, "sound");
});

test("an avatar that leaves without video leads to another renewal", () => {
  assert.equal(
    begun()
      .wait(60_000)
      .wait(LIMITS_MS.absent + LOOK, {}).ladder.step,
    "renew",
  );
});

test("a room that refuses the page leads to a new session, then to what is left", () => {
  assert.deepEqual(begun().tell("refused", {}).tell("refused", {}).steps, ["picture", "renew", "out"]);
  assert.deepEqual(begun().tell("refused", WELL).tell("refused", WELL).steps, ["picture", "renew", "sound"]);
});

/** Numbers that look random and repeat themselves. */
function chance(seed) {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

test("any sequence of events: attempts are bounded, a moving video ends them, and without one they stop", () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    const random = chance(seed);
    const climber = begun();
    const types = ["begin", "frame", "tick", "tick", "tick", "tick", "refused", "settle"];
    for (let turn = 0; turn < 200; turn += 1) {
      climber.now += random() * 4_000;
      const [hasAvatar, isReconnecting, isHidden, isBlocked] = [
        random() < 0.8,
        random() < 0.1,
        random() < 0.1,
        random() < 0.1,
      ];
      const facts = { hasAvatar, isReconnecting, isHidden, isBlocked, hasSound: hasAvatar && random() < 0.7 };
      const before = climber.ladder;
      const type = types[Math.floor(random() * types.length)];
      climber.tell(type, facts);
      const { step, renewals, rejoins } = climber.ladder;
      assert.ok(renewals <= MAX_RENEWALS && rejoins <= MAX_REJOINS, `seed ${seed}`);
      if (type === "tick" && (isHidden || isBlocked) && before.step === "picture")
        assert.equal(step, "picture", `seed ${seed}`);
      if (
        type === "frame" &&
        !before.isSettled &&
        !["out", "off"].includes(before.step) &&
        (before.step !== "renew" || before.hasRoom)
      )
        assert.equal(step, "picture", `seed ${seed}`);
    }
    // Nobody shows a picture any more: in bounded time it rests on what there is.
    const facts = { hasAvatar: random() < 0.5, hasSound: false };
    climber.wait(180_000, facts);
    assert.ok(
      !isRecovering(climber.ladder.step) && climber.ladder.step !== "picture",
      `seed ${seed}: ${climber.ladder.step}`,
    );
    assert.equal(climber.tell("end").ladder, OFF);
  }
});
