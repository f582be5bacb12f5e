/** The network route to a room, from the browser's WebRTC statistics. */

/** @typedef {{ local: string, remote: string, protocol: string, roundTripMs: number, bytes: number }} IceRoute */

/**
 * @param {Iterable<Record<string, any>>} rows  of one connection's RTCStatsReport
 * @returns {IceRoute | null}
 */
export function routeIn(rows) {
  const byId = new Map([...rows].map((row) => [row.id, row]));
  const all = [...byId.values()];
  const chosen = all.find(({ selectedCandidatePairId }) => selectedCandidatePairId)?.selectedCandidatePairId;
  // Not every browser reports the selected pair.
  const pair =
    byId.get(chosen) ??
    all.find(({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded");
  if (!pair) return null;
  const [local, remote] = [byId.get(pair.localCandidateId), byId.get(pair.remoteCandidateId)];
  return {
    local: local?.candidateType ?? "?",
    remote: remote?.candidateType ?? "?",
    protocol: local?.relayProtocol ?? local?.protocol ?? "",
    roundTripMs: Math.round((pair.currentRoundTripTime ?? 0) * 1_000),
    bytes: pair.bytesReceived ?? 0,
  };
}

/**
 * @param {import("livekit-client").Room} room
 * @returns {Promise<IceRoute | null>}  null while there is none
 */
export async function routeInto(room) {
  const { subscriber, publisher } = room.engine?.pcManager ?? {};
  for (const side of [subscriber, publisher]) {
    const route = routeIn((await side?.getStats())?.values() ?? []);
    if (route) return route;
  }
  return null;
}
