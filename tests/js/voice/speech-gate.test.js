import assert from "node:assert/strict";
import { test } from "node:test";

import { SpeechGate } from "../../../sessions/static/sessions/voice/speech-gate.js";

const BLOCK = 128;

/** Noise that is the same every time. */
function noiseFrom(seed) {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return (state / 2 ** 31 - 1) * 0.6;
  };
}

/** Samples of so many seconds, each from the moment it has. */
const sound = (rate, seconds, at) => Float32Array.from({ length: Math.round(rate * seconds) }, (_, n) => at(n / rate));
const joined = (...parts) => Float32Array.from(parts.flatMap((part) => [...part]));
const silence = (rate, seconds) => sound(rate, seconds, () => 0);

/** A vowel: a pitch that rises and falls a little, and its overtones, the higher the fainter. */
function vowel(rate, seconds, hertz = 120) {
  return sound(rate, seconds, (at) => {
    const phase = 2 * Math.PI * (hertz * at + 1.5 * Math.sin(2 * Math.PI * at));
    return 0.15 * [1, 2, 3, 4, 5, 6].reduce((sum, part) => sum + Math.sin(part * phase) / part, 0);
  });
}

/** The beginning of "six": breath without a pitch. */
const hiss = (rate, seconds, noise = noiseFrom(7)) => sound(rate, seconds, () => 0.2 * noise());
/** Two hands, and what the walls of a room give back. */
const clap = (rate, noise) => sound(rate, 0.35, (at) => noise() * (Math.exp(-at / 0.01) + 0.2 * Math.exp(-at / 0.08)));
const key = (rate, noise) => sound(rate, 0.12, (at) => 0.5 * noise() * Math.exp(-(at % 0.07) / 0.006));

function through(gate, input) {
  const output = new Float32Array(input.length);
  for (let from = 0; from < input.length; from += BLOCK) {
    gate.process(input.subarray(from, from + BLOCK), output.subarray(from, from + BLOCK));
  }
  return output;
}

const energy = (samples) => samples.reduce((sum, sample) => sum + sample ** 2, 0);

// Phones, headsets and computers differ.
for (const rate of [16_000, 44_100, 48_000]) {
  test(`claps and keys are blocked and words pass at ${rate} samples per second`, () => {
    // Complaint 11.
    const [gate, noise] = [new SpeechGate(rate), noiseFrom(1)];
    const clatter = joined(
      ...Array.from({ length: 8 }, () => joined(clap(rate, noise), key(rate, noise), key(rate, noise))),
    );
    assert.equal(energy(through(gate, clatter)), 0);
    const word = joined(silence(rate, 0.3), vowel(rate, 0.4), silence(rate, 1.2));
    const [spoken, sent] = [energy(word), energy(through(gate, word))];
    assert.ok(sent > 0.8 * spoken && sent < spoken, `${sent} of ${spoken}`); // a little faster, so a little less
    assert.equal(energy(through(gate, clatter)), 0);
  });
}

test("high, low and soft voices pass", () => {
  for (const hertz of [85, 120, 220, 350]) {
    const gate = new SpeechGate(48_000);
    const word = joined(
      silence(48_000, 0.3),
      vowel(48_000, 0.3, hertz).map((sample) => sample / 10),
      silence(48_000, 1),
    );
    assert.ok(energy(through(gate, word)) > 0.75 * energy(word), String(hertz));
  }
});

test("the beginning of a word without pitch passes", () => {
  const rate = 48_000;
  const begins = hiss(rate, 0.12);
  const sent = through(new SpeechGate(rate), joined(silence(rate, 0.5), begins, vowel(rate, 0.3), silence(rate, 1)));
  const first = sent.findIndex((sample) => Math.abs(sample) > 0.01);
  const vowelSent = sent.findIndex((sample) => Math.abs(sample) > 0.2);
  assert.ok((vowelSent - first) / rate > 0.1, `${(vowelSent - first) / rate} s of 0.12`);
});

test("the gate stays open at word ends and short pauses, and closes at a long one", () => {
  const rate = 48_000;
  const gate = new SpeechGate(rate);
  through(gate, joined(vowel(rate, 0.4), hiss(rate, 0.2), silence(rate, 0.25)));
  assert.equal(gate.isOpen, true);
  through(gate, silence(rate, 0.4));
  assert.equal(gate.isOpen, false);
});

test("the delay is made up for while the user speaks", () => {
  const rate = 48_000;
  const gate = new SpeechGate(rate);
  through(gate, vowel(rate, 0.5));
  const behind = gate.lag / rate;
  assert.ok(behind > 0.15 && behind < 0.25, String(behind));
  through(gate, vowel(rate, 2.5));
  assert.equal(gate.lag, 0);
});

test("no sound passes twice", () => {
  const rate = 16_000;
  const gate = new SpeechGate(rate);
  const output = new Float32Array(1);
  const noise = noiseFrom(3);
  let last = -Infinity;
  for (const sample of joined(
    ...Array.from({ length: 4 }, (_, n) => joined(vowel(rate, 0.9), hiss(rate, 0.5 + n / 10, noise))),
  )) {
    gate.process(Float32Array.of(sample), output);
    const at = gate.written - 1 - gate.lag;
    assert.ok(at >= last - 1e-6, `${at} after ${last}`);
    last = at;
  }
});
