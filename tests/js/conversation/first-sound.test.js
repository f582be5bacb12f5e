import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { FirstSound } from "../../../sessions/static/sessions/conversation/first-sound.js";

let reported = [];
let isWatched = false;
/** @type {FirstSound} */
let sound;

beforeEach(() => {
  reported = [];
  sound = new FirstSound(
    (data) => reported.push(data),
    (watched) => {
      isWatched = watched;
    },
  );
});

/** A conversation whose greeting is over. */
function greeted() {
  sound.begin(0);
  sound.heard(900);
  sound.talking(true, 850);
  sound.talking(false, 2_000);
  reported = [];
}

test("the greeting is timed from the click, once, and the sound is watched until then only", () => {
  sound.begin(100);
  assert.equal(isWatched, true);
  sound.heard(1_350.4);
  sound.heard(1_400);
  assert.deepEqual(reported, [{ after: "start", ms: 1_250 }]);
  assert.equal(isWatched, false);
});

test("a typed text is timed from the moment it was sent", () => {
  greeted();
  sound.textSent(5_000);
  sound.heard(5_120);
  assert.deepEqual(reported, [{ after: "typed", ms: 120 }]);
});

test("a spoken sentence is timed from the last voice, not from the message about its end", () => {
  greeted();
  sound.voiceSent(5_000);
  sound.voiceSent(6_000);
  sound.speechEnded(7_200);
  sound.heard(7_500);
  assert.deepEqual(reported, [{ after: "spoken", ms: 1_500 }]);
  sound.talking(true, 7_450);
  sound.talking(false, 9_000);
  sound.speechEnded(10_000); // nothing was heard at the microphone
  sound.heard(10_100);
  assert.equal(reported.length, 1);
});

test("what may be the end of another line or the greeting is not reported", () => {
  sound.begin(0);
  sound.textSent(500);
  sound.heard(700); // the greeting, or the answer
  assert.deepEqual(reported, []);
  sound.talking(true, 650);
  sound.textSent(800);
  sound.heard(810);
  sound.talking(false, 2_000);
  sound.textSent(2_400);
  sound.heard(2_410); // the last sound of the line
  assert.deepEqual(reported, []);
  assert.equal(isWatched, false);
});

test("after an interruption, and after too long, nothing is reported", () => {
  greeted();
  sound.textSent(5_000);
  sound.forget();
  sound.heard(5_100);
  sound.textSent(6_000);
  sound.heard(36_001);
  assert.deepEqual(reported, []);
});
