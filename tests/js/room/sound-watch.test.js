import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { SoundWatch } from "../../../sessions/static/sessions/room/sound-watch.js";

let level = 0; // of the samples that the analyser holds
let state = "running";
let isHidden = false;
let heard = 0;
let lost = 0;
/** @type {SoundWatch} */
let watch;

class AudioContextDouble {
  get state() {
    return state;
  }
  createAnalyser() {
    return { fftSize: 0, getFloatTimeDomainData: (samples) => samples.fill(level) };
  }
  createMediaStreamSource() {
    return { connect() {}, disconnect() {} };
  }
  async resume() {}
  async close() {}
}

beforeEach(() => {
  mock.timers.enable({ apis: ["setInterval"] });
  Object.assign(globalThis, { AudioContext: AudioContextDouble, MediaStream: class {} });
  Object.defineProperty(globalThis, "document", {
    configurable: true,
    value: {
      get hidden() {
        return isHidden;
      },
    },
  });
  [level, state, isHidden, heard, lost] = [0, "running", false, 0, 0];
  watch = new SoundWatch(
    () => {
      heard += 1;
      watch.watch(false);
    },
    () => {
      lost += 1;
      watch.watch(false);
    },
  );
});

afterEach(() => {
  watch.close();
  mock.timers.reset();
  for (const name of ["AudioContext", "MediaStream", "document"]) Reflect.deleteProperty(globalThis, name);
});

test("the first sound after silence is noticed once, whether the track or the waiting comes first", () => {
  watch.watch(true);
  mock.timers.tick(500);
  watch.listen({});
  mock.timers.tick(50);
  assert.deepEqual([heard, lost], [0, 0]);
  level = 0.1;
  mock.timers.tick(500);
  assert.deepEqual([heard, lost], [1, 0]);

  level = 0;
  watch.watch(true);
  mock.timers.tick(50);
  level = 0.1;
  mock.timers.tick(50);
  assert.deepEqual([heard, lost], [2, 0]);
});

test("a sound that is heard already when the waiting begins is not taken for the answer", () => {
  watch.listen({});
  level = 0.1;
  watch.watch(true);
  mock.timers.tick(500);
  assert.deepEqual([heard, lost], [0, 1]);
});

test("nothing is measured while the browser holds the sound back or the page is hidden", () => {
  watch.listen({});
  state = "suspended";
  level = 0.1;
  watch.watch(true);
  mock.timers.tick(500);
  assert.deepEqual([heard, lost], [0, 0]);
  isHidden = true;
  mock.timers.tick(500);
  assert.deepEqual([heard, lost], [0, 1]);
});
