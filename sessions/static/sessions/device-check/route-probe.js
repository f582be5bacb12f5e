/** Tries the routes into a room of the portal's LiveKit server: as WebRTC chooses, over TCP alone, through relays alone. */

import { refusalOf } from "../recovery/diagnosis.js";
import { routeInto } from "../room/ice-route.js";

const CONNECT_MS = 10_000;
const RELAY_MS = 5_000; // for a relay to answer

/** @typedef {typeof import("livekit-client")} LiveKit */
/** @typedef {{ url: string, token: string }} Access */
/** @typedef {{ urls: string[], username?: string, credential?: string }} Relay */

/**
 * @param {LiveKit} LiveKit
 * @param {Access | null} access
 * @returns {Promise<import("./checks.js").Found>}
 */
export async function probeRoute(LiveKit, access) {
  /** @type {import("./checks.js").Found} */
  const found = {
    isThere: access !== null,
    refusal: "",
    way: null,
    hasTcp: false,
    offersTurn: false,
    turn: "",
    turnAnswers: false,
    server: "",
  };
  if (!access) return found;
  const room = new LiveKit.Room();
  /** @type {Relay[] | null} */
  let relays = null;
  room.once(LiveKit.RoomEvent.SignalConnected, () => (relays = relaysOf(room)));
  try {
    await within(CONNECT_MS, room.connect(access.url, access.token));
    found.way = await routeInto(room);
    found.server = [room.serverInfo?.version, room.serverInfo?.region].filter(Boolean).join(" ");
    found.hasTcp = found.way?.protocol === "tcp" || (await worksOverTcp(LiveKit, room));
  } catch (error) {
    if (!relays) found.refusal = refusalOf(LiveKit, error);
  }
  await room.disconnect();
  return relays ? { ...found, ...(await probeRelays(LiveKit, access, relays, found.way !== null)) } : found;
}

/**
 * @param {LiveKit} LiveKit
 * @param {Access} access
 * @param {Relay[]} relays
 * @param {boolean} isIn  the room was reached; if not, WebRTC has tried the relays already
 */
async function probeRelays(LiveKit, access, relays, isIn) {
  const offersTurn = relays.length > 0;
  for (const [scheme, turn] of /** @type {const} */ ([
    ["turns:", "tls"],
    ["turn:", "udp"],
  ])) {
    const these = relays
      .map((relay) => ({ ...relay, urls: relay.urls.filter((url) => url.startsWith(scheme)) }))
      .filter(({ urls }) => urls.length);
    if (isIn && these.length && (await reachesRoom(LiveKit, access, these)))
      return { offersTurn, turn, turnAnswers: true };
  }
  return { offersTurn, turn: /** @type {const} */ (""), turnAnswers: offersTurn && (await answers(relays)) };
}

/**
 * The TURN servers named in LiveKit's join response.
 *
 * @param {import("livekit-client").Room} room
 * @returns {Relay[]}
 */
function relaysOf(room) {
  const servers = room.engine.latestJoinResponse?.iceServers ?? [];
  return servers
    .filter(({ urls }) => urls.some((url) => url.startsWith("turn")))
    .map(({ urls, username, credential }) => ({ urls, username, credential }));
}

/**
 * Whether the room can be reached through these relays alone.
 *
 * @param {LiveKit} LiveKit
 * @param {Access} access
 * @param {Relay[]} iceServers
 */
async function reachesRoom(LiveKit, { url, token }, iceServers) {
  const room = new LiveKit.Room();
  try {
    await within(CONNECT_MS, room.connect(url, token, { rtcConfig: { iceTransportPolicy: "relay", iceServers } }));
    return true;
  } catch {
    return false;
  } finally {
    await room.disconnect();
  }
}

/**
 * Whether one of these relays allocates an address, even if the room cannot be reached through it.
 *
 * @param {Relay[]} iceServers
 */
async function answers(iceServers) {
  const connection = new RTCPeerConnection({ iceTransportPolicy: "relay", iceServers });
  const allocated = new Promise((resolve) =>
    connection.addEventListener("icecandidate", ({ candidate }) => candidate?.candidate && resolve(true)),
  );
  connection.createDataChannel("");
  try {
    await connection.setLocalDescription();
    return await within(RELAY_MS, allocated).then(() => true);
  } catch {
    return false;
  } finally {
    connection.close();
  }
}

/**
 * @param {LiveKit} LiveKit
 * @param {import("livekit-client").Room} room
 */
async function worksOverTcp(LiveKit, room) {
  const back = new Promise((resolve) => room.once(LiveKit.RoomEvent.Reconnected, () => resolve(true)));
  try {
    await room.simulateScenario("force-tcp");
    await within(CONNECT_MS, back);
    return (await routeInto(room))?.protocol === "tcp";
  } catch {
    return false;
  }
}

/**
 * @template T
 * @param {number} ms
 * @param {Promise<T>} work
 * @returns {Promise<T>}
 */
function within(ms, work) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("timeout")), ms));
  return /** @type {Promise<T>} */ (Promise.race([work, late]));
}
