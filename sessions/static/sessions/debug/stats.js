/** Selected WebRTC statistics of video, audio and route. */

import { routeIn } from "../room/ice-route.js";

/** @typedef {Record<string, string | number>} Facts */

/**
 * @param {Iterable<Record<string, any>>} rows  of RTCStatsReports
 * @returns {Facts}
 */
export function factsOf(rows) {
  const byId = new Map([...rows].map((row) => [row.id, row]));
  /** @type {Facts} */
  const facts = {};
  for (const row of byId.values()) {
    if (row.type === "inbound-rtp" && row.kind === "video") {
      facts.picture = `${row.frameWidth ?? 0}×${row.frameHeight ?? 0}`;
      facts.frames_per_second = row.framesPerSecond ?? 0;
      facts.frames = row.framesDecoded ?? 0;
      facts.video_codec = byId.get(row.codecId)?.mimeType ?? "";
      facts.video_lost = row.packetsLost ?? 0;
      facts.freezes = row.freezeCount ?? 0;
    }
    if (row.type === "inbound-rtp" && row.kind === "audio") {
      facts.audio_lost = row.packetsLost ?? 0;
      facts.audio_jitter_ms = Math.round((row.jitter ?? 0) * 1000);
    }
  }
  const route = routeIn(byId.values());
  if (!route) return facts;
  return {
    ...facts,
    way: `${route.local} → ${route.remote}`,
    protocol: route.protocol,
    round_trip_ms: route.roundTripMs,
    received_bytes: route.bytes,
  };
}
