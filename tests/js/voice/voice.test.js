import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { levelOf, SilenceTimer } from "../../../sessions/static/sessions/voice/level.js";
import { Microphone } from "../../../sessions/static/sessions/voice/microphone.js";
import { OutgoingTrack } from "../../../sessions/static/sessions/voice/outgoing-track.js";
import { Voice } from "../../../sessions/static/sessions/voice/voice.js";

const MARKS = { topic: "", start: "start", stop: "stop" };

/** A track that knows whether it still runs, and whether what it hears goes out. */
class Track {
  enabled = true;
  isRunning = true;
  muted = false;
  onended = null;
  get readyState() {
    return this.isRunning ? "live" : "ended";
  }
  copies = [];
  stop = () => (this.isRunning = false);
  getSettings = () => ({ deviceId: "d1" });
  clone() {
    this.copies.push(new Track());
    return this.copies.at(-1);
  }
}

/** What lets only speech through, as far as the page sees it. */
class Gate {
  copies = [];
  isClosed = false;
  constructor(onChange, onLost) {
    Object.assign(this, { onChange, onLost });
  }
  copy() {
    this.copies.push(new Track());
    return this.copies.at(-1);
  }
  close() {
    this.isClosed = true;
  }
}

let gates,
  gateTrouble,
  publishTrouble,
  isMuted,
  asked,
  tracks,
  refusal,
  preferences,
  published,
  withdrawn,
  marks,
  reports,
  pressed,
  voice,
  isTaking;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  [asked, tracks, refusal, published, withdrawn, marks, reports, pressed, isTaking] = [
    [],
    [],
    null,
    [],
    [],
    [],
    [],
    [],
    true,
  ];
  [gates, gateTrouble, publishTrouble, isMuted, preferences] = [[], null, null, false, {}];
  voice = speakingWith({ hands_free: true, push_to_talk: MARKS });
});

function speakingWith(can, devices = DEVICES) {
  const microphone = new Microphone(
    devices,
    () => made.onDeviceLost(),
    (isInterrupted) => made.onInterrupted(isInterrupted),
  );
  const made = new Voice({
    microphone,
    outgoing: new OutgoingTrack({
      room: {
        canPublish: () => isTaking,
        publish: async (track) => published.push(track),
        unpublish: (track) => withdrawn.push(track),
      },
      gateFor: async (_stream, onChange, onLost) => {
        if (gateTrouble) throw gateTrouble;
        gates.push(new Gate(onChange, onLost));
        return gates.at(-1);
      },
      onChange: () => {},
    }),
    publishData: async (_topic, payload) => {
      if (publishTrouble) throw publishTrouble;
      marks.push(payload);
    },
    capabilities: can,
    preferences: { recall: (name) => preferences[name] ?? "", keep: (name, value) => (preferences[name] = value) },
    report: ({ state, mode, gate }) => reports.push(`${state} ${mode}${gate === "off" ? "" : ` ${gate}`}`),
    onPress: (isPressed) => pressed.push(isPressed),
    onChange: () => {},
  });
  return made;
}

const DEVICES = {
  getUserMedia: async (wanted) => {
    asked.push(wanted.audio);
    if (refusal) throw Object.assign(new Error(), { name: refusal });
    const track = Object.assign(new Track(), { muted: isMuted });
    tracks.push(track);
    return { getAudioTracks: () => [track], getTracks: () => [track] };
  },
  enumerateDevices: async () => [
    { kind: "audioinput", deviceId: "d1", label: "Headset" },
    { kind: "audiooutput", deviceId: "d2", label: "Loudspeaker" },
  ],
};
const sends = () => published.at(-1).enabled;
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("the microphone opens only at the user's request, with echo cancellation", async () => {
  // Complaint 11.
  assert.deepEqual(asked, []);
  await voice.toggle();
  assert.equal(asked.length, 1);
  assert.ok(asked[0].echoCancellation && asked[0].noiseSuppression && asked[0].voiceIsolation);
  assert.deepEqual(voice.choices, [{ id: "d1", name: "Headset" }]);
});

test("an open microphone sends only while the button is held, with markers", async () => {
  await voice.toggle();
  assert.equal(sends(), false);
  voice.press();
  assert.deepEqual([sends(), marks, pressed], [true, ["start"], [true]]);
  voice.release();
  assert.equal(sends(), true); // the last syllable
  mock.timers.tick(400);
  assert.deepEqual([sends(), marks, pressed], [false, ["start", "stop"], [true, false]]);
});

test("a press right after a release continues the utterance", async () => {
  await voice.toggle();
  voice.press();
  voice.release();
  mock.timers.tick(100);
  voice.press();
  mock.timers.tick(1_000);
  assert.deepEqual([sends(), marks], [true, ["start"]]);
});

test("hands-free sends all the time, without markers", async () => {
  voice.setMode("hands_free");
  await voice.toggle();
  voice.press();
  assert.deepEqual([sends(), marks, pressed], [true, [], []]);
});

test("hands-free sends speech only, or everything if the user chooses so", async () => {
  // Complaint 11.
  voice.setMode("hands_free");
  await voice.toggle();
  assert.deepEqual([published, reports.at(-1)], [[gates[0].copies[0]], "on hands_free on"]);
  assert.deepEqual([sends(), voice.outgoing.isThrough], [true, false]);
  gates[0].onChange(true);
  assert.equal(voice.outgoing.isThrough, true);
  voice.setSpeechOnly(false);
  await settled();
  assert.deepEqual([published.at(-1), sends(), reports.at(-1)], [tracks[0].copies[0], true, "on hands_free"]);
  assert.deepEqual([withdrawn, gates[0].isClosed, gates[0].copies[0].isRunning], [[gates[0].copies[0]], true, false]);
});

test("push-to-talk sends all sound without the gate", async () => {
  voice = speakingWith({ hands_free: true, push_to_talk: null });
  voice.setMode("hands_free");
  await voice.toggle();
  voice.setMode("hold");
  await settled();
  assert.deepEqual([published.at(-1), sends()], [tracks[0].copies[0], false]);
  voice.press();
  assert.equal(sends(), true);
});

test("without a gate all sound is sent, and page and record show it", async () => {
  gateTrouble = new Error("no worklets");
  voice.setMode("hands_free");
  await voice.toggle();
  assert.deepEqual(
    [voice.gate, sends(), published, reports],
    ["failed", true, [tracks[0].copies[0]], ["on hands_free failed"]],
  );
});

test("a gate that the browser suspends is replaced by unfiltered sound", async () => {
  voice.setMode("hands_free");
  await voice.toggle();
  gates[0].onLost();
  await settled();
  assert.deepEqual([published.at(-1), sends(), reports.at(-1)], [tracks[0].copies[0], true, "on hands_free failed"]);
});

test("a gate that is ready after the microphone was closed is released", async () => {
  voice.setMode("hands_free");
  const opening = voice.toggle();
  while (!gates.length) await Promise.resolve();
  voice.close();
  await opening;
  assert.deepEqual([gates[0].isClosed, voice.state, published], [true, "off", []]);
});

test("a session with markers stays in push-to-talk; the next one may be hands-free", async () => {
  await voice.toggle();
  voice.press();
  voice.release();
  voice.setMode("hands_free");
  assert.deepEqual([voice.mode, voice.chosenMode], ["hold", "hands_free"]);
  voice.leave(false);
  assert.equal(voice.mode, "hands_free");
});

test("an open microphone carries over to the session that continues the conversation", async () => {
  await voice.toggle();
  voice.press();
  voice.setMode("hands_free");
  voice.leave(true);
  assert.deepEqual([voice.isOpen, voice.mode, marks], [true, "hands_free", ["start", "stop"]]);
  await voice.reapply();
  assert.deepEqual([published.at(-1), sends(), reports.at(-1)], [gates[0].copies[0], true, "on hands_free on"]);
  voice.leave(false);
  assert.equal(voice.isOpen, false);
});

test("a provider without markers may switch to hands-free at any time", async () => {
  voice = speakingWith({ hands_free: true, push_to_talk: null });
  await voice.toggle();
  voice.press();
  voice.release();
  mock.timers.tick(400);
  assert.deepEqual([sends(), marks], [false, []]);
  voice.setMode("hands_free");
  assert.deepEqual([voice.mode, sends()], ["hands_free", true]);
});

test("a provider without speech detection is never used hands-free", () => {
  preferences.mode = "hands_free";
  assert.equal(speakingWith({ hands_free: false, push_to_talk: MARKS }).mode, "hold");
});

test("closing releases the microphone and its clones, and ends the utterance", async () => {
  await voice.toggle();
  voice.press();
  await voice.toggle();
  assert.deepEqual([tracks[0].isRunning, tracks[0].copies[0].isRunning], [false, false]);
  assert.deepEqual([withdrawn, marks], [[tracks[0].copies[0]], ["start", "stop"]]);
  assert.deepEqual(reports, ["on hold", "off hold"]);
});

// Requirement 59: each has its own message and remedy; complaint 8.
for (const [name, state] of [
  ["NotAllowedError", "refused"],
  ["NotFoundError", "absent"],
  ["NotReadableError", "busy"],
]) {
  test(`${name} is shown as ${state}`, async () => {
    refusal = name;
    await voice.toggle();
    assert.deepEqual([voice.state, voice.isOpen, reports], [state, false, [`${state} hold`]]);
    refusal = null;
    await voice.toggle();
    assert.equal(voice.state, "on");
  });
}

test("an insecure page has no microphone", async () => {
  // Complaint 8.
  voice = speakingWith({ hands_free: true, push_to_talk: MARKS }, null);
  await voice.toggle();
  assert.equal(voice.state, "insecure");
});

test("another microphone takes over from one that is unplugged, and the page says so", async () => {
  voice.setMode("hands_free");
  preferences.gate = "off";
  await voice.toggle();
  tracks[0].onended();
  await settled();
  assert.deepEqual([voice.state, voice.isOpen, tracks[0].copies[0].isRunning], ["replaced", true, false]);
  assert.deepEqual([published.at(-1), sends(), reports.at(-1)], [tracks[1].copies[0], true, "replaced hands_free"]);
});

test("what is said while a microphone is unplugged ends there", async () => {
  await voice.toggle();
  voice.press();
  tracks[0].onended();
  await settled();
  assert.deepEqual([marks, pressed, sends()], [["start", "stop"], [true, false], false]);
  voice.press();
  assert.deepEqual([voice.state, sends()], ["on", true]);
});

test("microphones that are lost again and again are given up until the user tries again", async () => {
  await voice.toggle();
  for (let lost = 0; lost < 5; lost += 1) {
    tracks.at(-1).onended?.();
    await settled();
    voice.onLevel(0, lost);
  }
  assert.deepEqual([voice.state, voice.isOpen, tracks.length], ["absent", false, 4]);
  await voice.toggle();
  assert.equal(voice.state, "on");
});

test("a microphone that was heard does not count as lost again and again", async () => {
  await voice.toggle();
  for (let lost = 0; lost < 5; lost += 1) {
    tracks.at(-1).onended();
    await settled();
    voice.onLevel(3, lost);
  }
  assert.equal(voice.state, "replaced");
});

test("a phone call is shown, and the microphone continues after it", async () => {
  await voice.toggle();
  tracks[0].onmute();
  assert.deepEqual([voice.state, reports.at(-1)], ["interrupted", "interrupted hold"]);
  tracks[0].onunmute();
  assert.equal(voice.state, "on");
});

for (const [what, leave] of [
  ["muted", (track) => (track.muted = true)],
  ["ended without notice", (track) => track.stop()],
]) {
  test(`a microphone that a phone call left ${what} is opened again when the user is back`, async () => {
    await voice.toggle();
    tracks[0].onmute();
    leave(tracks[0]);
    await voice.onReturn();
    assert.deepEqual([tracks.length, voice.state, published.at(-1)], [2, "on", tracks[1].copies[0]]);
  });
}

test("a microphone that works is left alone when the user is back, and so is a closed one", async () => {
  await voice.onReturn();
  await voice.toggle();
  await voice.onReturn();
  assert.equal(tracks.length, 1);
});

test("a microphone that the device mutes from the beginning is shown as interrupted", async () => {
  isMuted = true;
  await voice.toggle();
  assert.equal(voice.state, "interrupted");
});

test("the last microphone that is unplugged is shown as absent", async () => {
  await voice.toggle();
  refusal = "NotFoundError";
  tracks[0].onended();
  await settled();
  assert.deepEqual([voice.state, voice.isOpen, tracks[0].copies[0].isRunning], ["absent", false, false]);
});

test("a microphone that stays silent is shown as silent until it delivers sound", async () => {
  await voice.toggle();
  voice.onLevel(0, 0);
  voice.onLevel(0, 60_000); // nobody is meant to be heard
  assert.equal(voice.state, "on");
  voice.press();
  for (let now = 100_000; now <= 103_000; now += 100) voice.onLevel(0, now);
  assert.equal(voice.state, "silent");
  voice.onLevel(3, 103_100);
  assert.equal(voice.state, "on");
});

test("a refused press is shown until the next one", async () => {
  await voice.toggle();
  voice.press();
  voice.setState("unheard");
  voice.onLevel(3, 100);
  assert.equal(voice.state, "unheard");
  voice.release();
  voice.press();
  assert.deepEqual([voice.state, reports], ["on", ["on hold", "unheard hold", "on hold"]]);
});

test("a press whose marker does not reach the provider is shown", async () => {
  await voice.toggle();
  publishTrouble = new Error("no connection");
  voice.press();
  await settled();
  assert.equal(voice.state, "unheard");
});

test("closing while the browser asks for permission leaves nothing open", async () => {
  const opening = voice.toggle();
  voice.close();
  await opening;
  assert.deepEqual([voice.state, voice.isOpen, tracks[0].isRunning, published], ["off", false, false, []]);
});

test("the chosen microphone is opened, or any other if it is gone", async () => {
  await voice.toggle();
  await voice.selectDevice("d9");
  assert.deepEqual(asked.at(-1).deviceId, { exact: "d9" });
  assert.equal(tracks[0].isRunning, false);
  refusal = "OverconstrainedError";
  await voice.selectDevice("d8");
  assert.deepEqual([asked.at(-2).deviceId, asked.at(-1).deviceId, voice.state], [{ exact: "d8" }, undefined, "absent"]);
});

test("a microphone opened while disconnected is published after the join", async () => {
  isTaking = false;
  await voice.toggle();
  assert.equal(published.length, 0);
  isTaking = true;
  await voice.outgoing.publish();
  assert.deepEqual(published, [tracks[0].copies[0]]);
});

test("a track that ended with its room is replaced in the next one", async () => {
  // Complaint 10.
  voice.setMode("hands_free");
  await voice.toggle();
  published[0].stop();
  await voice.outgoing.publish();
  assert.equal(published.length, 2);
  assert.deepEqual([published[1].readyState, published[1].enabled], ["live", true]);
});

test("levels range from silence to a shout", () => {
  const tone = (loudness) => Float32Array.from({ length: 480 }, (_, n) => loudness * Math.sin(n / 5));
  const levels = [0, 0.0005, 0.003, 0.01, 0.1, 1].map((loudness) => levelOf(tone(loudness)));
  assert.deepEqual([levels[0], levels.at(-1)], [0, 5]);
  assert.deepEqual(levels, levels.toSorted());
});

test("silence counts only while sound is expected", () => {
  const stillness = new SilenceTimer(1_000);
  assert.equal(stillness.isTooLong(0, true, 0), false);
  assert.equal(stillness.isTooLong(0, false, 5_000), false);
  assert.equal(stillness.isTooLong(0, true, 5_100), false);
  assert.equal(stillness.isTooLong(0, true, 6_200), true);
});
