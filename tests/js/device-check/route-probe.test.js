import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { afterEach, beforeEach, mock, test } from "node:test";

import { probeRoute } from "../../../sessions/static/sessions/device-check/route-probe.js";

const ACCESS = { url: "ws://rooms.test", token: "t" };
const TURN = { urls: ["turn:relay.test:3478?transport=udp", "turns:relay.test:443"], username: "u", credential: "c" };
const STUN = { urls: ["stun:relay.test"], username: "", credential: "" };

/** What the network allows: a test changes it. */
let network, attempts;

/** LiveKit's room, as far as the check uses it. */
class Room extends EventEmitter {
  serverInfo = { version: "1.13.5", region: "eu" };
  engine = {
    latestJoinResponse: { iceServers: network.relays },
    pcManager: { subscriber: { getStats: () => this.stats() } },
  };
  protocol = "udp";

  async connect(url, token, { rtcConfig } = {}) {
    attempts.push(rtcConfig ? rtcConfig.iceServers.flatMap(({ urls }) => urls) : "any");
    assert.deepEqual({ url, token }, ACCESS);
    if (!network.hasSignal) throw network.refusal;
    this.emit("signalConnected");
    if (rtcConfig) assert.equal(rtcConfig.iceTransportPolicy, "relay");
    const isReached = rtcConfig
      ? network.reachableRelays.some((way) => String(attempts.at(-1)).startsWith(way))
      : network.isOpen;
    if (!isReached) throw new Error("no route");
  }

  async simulateScenario(name) {
    assert.equal(name, "force-tcp");
    if (!network.hasTcp) return void setImmediate(() => mock.timers.tick(10_000));
    this.protocol = "tcp";
    this.emit("reconnected");
  }

  async stats() {
    const pair = { id: "p", type: "candidate-pair", localCandidateId: "l", remoteCandidateId: "r", nominated: true };
    const sides = [
      { id: "l", candidateType: "host", protocol: this.protocol },
      { id: "r", candidateType: "srflx" },
    ];
    const row = { ...pair, state: "succeeded", currentRoundTripTime: 0.04, bytesReceived: 7 };
    return new Map([row, ...sides].map((one) => [one.id, one]));
  }

  async disconnect() {
    network.left += 1;
  }
}

class ConnectionError extends Error {
  constructor(reason, status) {
    super("refused");
    Object.assign(this, { reason, status });
  }
}

const LiveKit = {
  Room,
  RoomEvent: { SignalConnected: "signalConnected", Reconnected: "reconnected" },
  ConnectionError,
  ConnectionErrorReason: { NotAllowed: 0, ServerUnreachable: 1 },
};

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  network = {
    hasSignal: true,
    isOpen: true,
    hasTcp: true,
    relays: [STUN, TURN],
    reachableRelays: ["turns:", "turn:"],
    left: 0,
  };
  attempts = [];
});
afterEach(() => mock.timers.reset());

const probe = (changes = {}) => {
  Object.assign(network, changes);
  return probeRoute(LiveKit, ACCESS);
};

test("the connection test shows route, round trip, server and relays (requirement 70)", async () => {
  const { way, ...found } = await probe();
  assert.deepEqual(way, { local: "host", remote: "srflx", protocol: "udp", roundTripMs: 40, bytes: 7 });
  assert.deepEqual(found, {
    isThere: true, refusal: "", hasTcp: true, offersTurn: true, turn: "tls", turnAnswers: true, server: "1.13.5 eu",
  }); // biome-ignore format: one line
  assert.deepEqual(attempts, ["any", ["turns:relay.test:443"]]);
  assert.equal(network.left, 2);
});

test("a network that blocks TCP, or all relays but one, is told apart (requirement 70)", async () => {
  assert.equal((await probe({ hasTcp: false })).hasTcp, false);
  assert.equal((await probe({ reachableRelays: ["turn:"] })).turn, "udp");
  assert.deepEqual(attempts.at(-1), ["turn:relay.test:3478?transport=udp"]);
  const { offersTurn, turn } = await probe({ relays: [STUN] });
  assert.deepEqual({ offersTurn, turn }, { offersTurn: false, turn: "" });
});

test("relays that no room can be reached through may still answer (requirement 70)", async () => {
  /** A connection whose relays answer, or do not. */
  class RTCPeerConnection extends EventTarget {
    constructor({ iceTransportPolicy, iceServers }) {
      super();
      assert.deepEqual([iceTransportPolicy, iceServers], ["relay", [TURN]]);
    }
    createDataChannel() {}
    close() {
      network.left += 1;
    }
    async setLocalDescription() {
      const candidate = network.answers ? { candidate: "candidate:1 relay" } : null;
      this.dispatchEvent(Object.assign(new Event("icecandidate"), { candidate }));
      if (!network.answers) setImmediate(() => mock.timers.tick(5_000));
    }
  }
  globalThis.RTCPeerConnection = RTCPeerConnection;
  try {
    for (const answers of [true, false]) {
      const { way, refusal, turn, turnAnswers } = await probe({ isOpen: false, answers, left: 0 });
      assert.deepEqual({ way, refusal, turn, turnAnswers }, { way: null, refusal: "", turn: "", turnAnswers: answers });
      assert.equal(network.left, 2);
    }
  } finally {
    Reflect.deleteProperty(globalThis, "RTCPeerConnection");
  }
});

test("a room that refuses is told from one that is out of reach (requirement 70)", async () => {
  const refusedAs = async (refusal) => (await probe({ hasSignal: false, refusal })).refusal;
  assert.equal(await refusedAs(new Error("no answer")), "network");
  assert.equal(await refusedAs(new ConnectionError(LiveKit.ConnectionErrorReason.NotAllowed, 401)), "token");
  assert.equal((await probeRoute(LiveKit, null)).isThere, false);
});
