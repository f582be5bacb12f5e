import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Loudspeaker } from "../../../sessions/static/sessions/voice/loudspeaker.js";

let outputs, preferences, player, devices;

beforeEach(() => {
  outputs = ["default", "headset", "desk"];
  preferences = {};
  player = {
    sinkId: "",
    async setSinkId(id) {
      if (id && !outputs.includes(id)) throw new DOMException("gone", "NotFoundError");
      this.sinkId = id;
    },
  };
  devices = {
    enumerateDevices: async () => [
      { kind: "audioinput", deviceId: "mic", label: "Microphone" },
      ...outputs.map((deviceId) => ({ kind: "audiooutput", deviceId, label: deviceId })),
    ],
  };
});

const make = (parts = {}) =>
  new Loudspeaker({
    player,
    devices,
    preferences: { recall: (name) => preferences[name] ?? "", keep: (name, id) => (preferences[name] = id) },
    onChange: () => {},
    ...parts,
  });

test("the avatar is heard from the loudspeaker that was chosen, now and next time", async () => {
  const loudspeaker = make();
  await loudspeaker.restore();
  assert.deepEqual(
    loudspeaker.choices.map(({ id }) => id),
    ["default", "headset", "desk"],
  );
  await loudspeaker.choose("desk");
  assert.deepEqual([player.sinkId, loudspeaker.isReplaced], ["desk", false]);
  player.sinkId = "";
  await make().restore();
  assert.equal(player.sinkId, "desk");
});

test("a loudspeaker that is unplugged is replaced by the default one, and the page says so", async () => {
  const loudspeaker = make();
  await loudspeaker.choose("headset");
  outputs = ["default", "desk"];
  await loudspeaker.list();
  assert.deepEqual([player.sinkId, loudspeaker.chosen, loudspeaker.isReplaced], ["", "", true]);
  await loudspeaker.choose("desk");
  assert.deepEqual([player.sinkId, loudspeaker.isReplaced], ["desk", false]);
});

test("a loudspeaker that is gone when the page opens does no harm", async () => {
  preferences.loudspeaker = "old";
  const loudspeaker = make();
  await loudspeaker.restore();
  assert.deepEqual([player.sinkId, loudspeaker.chosen], ["", ""]);
  await loudspeaker.choose("old");
  assert.equal(loudspeaker.isReplaced, true);
});

test("a browser without a choice offers none", async () => {
  const loudspeaker = make({ player: {} });
  await loudspeaker.restore();
  assert.deepEqual([loudspeaker.choices, loudspeaker.asksBrowser], [[], false]);
  await make({ devices: undefined }).restore();
});

test("a browser with a list of its own is asked, and may be refused", async () => {
  devices.selectAudioOutput = async () => ({ deviceId: "desk" });
  const loudspeaker = make();
  assert.equal(loudspeaker.asksBrowser, true);
  await loudspeaker.ask();
  assert.equal(player.sinkId, "desk");
  devices.selectAudioOutput = async () => {
    throw new DOMException("cancelled", "NotAllowedError");
  };
  await loudspeaker.ask();
  assert.equal(player.sinkId, "desk");
});
