/** Who is in a LiveKit room besides us, and what of theirs has arrived here, or shall arrive. */

/**
 * @param {import("livekit-client").Room} room
 * @param {boolean} isIn
 */
export function whoIsIn(room, isIn) {
  if (!isIn) return { hasAvatar: false, hasVideo: false, hasSound: false, room: "" };
  return {
    hasAvatar: room.remoteParticipants.size > 0,
    hasVideo: remoteTracks(room, "video").some(({ isSubscribed }) => isSubscribed),
    hasSound: remoteTracks(room, "audio").some(({ isSubscribed }) => isSubscribed),
    room: room.name,
  };
}

/**
 * @param {import("livekit-client").Room} room
 * @param {"video" | "audio"} kind
 */
function remoteTracks(room, kind) {
  return tracksOf(room).filter((track) => track.kind === kind);
}

/** @param {import("livekit-client").Room} room */
function tracksOf(room) {
  return [...room.remoteParticipants.values()].flatMap((one) => [...one.trackPublications.values()]);
}

/** @param {import("livekit-client").Room} room */
export function publishedIn(room) {
  return tracksOf(room).map(({ kind }) => kind);
}

/** @param {import("livekit-client").Room} room */
export function subscribeAnew(room) {
  for (const track of remoteTracks(room, "video")) {
    track.setSubscribed(false);
    track.setSubscribed(true);
  }
}

/**
 * Have what is published sent to us without delay.
 *
 * LiveKit's server answers an offer at once, but asks for one by itself not sooner than 150 ms after we came in: whoever
 * came just before the avatar would wait that long for nothing. This is not in LiveKit's public interface, and nothing
 * depends on it: without it, or where it fails, the server asks.
 *
 * @param {import("livekit-client").Room} room
 */
export function offerNow(room) {
  room.engine?.negotiate().catch(() => {}); // LiveKit connects anew by itself
}

/** @param {import("livekit-client").Room} room */
export function lacksTracks(room) {
  return tracksOf(room).some(({ isSubscribed }) => !isSubscribed);
}

/** A page's first connection sets up the browser's codecs, certificates and threads, so let that be none that waits. */
export function warmUp() {
  if (typeof RTCPeerConnection === "undefined") return; // the doctor says so
  const nobody = new RTCPeerConnection();
  for (const kind of ["video", "audio"]) nobody.addTransceiver(kind, { direction: "recvonly" });
  void nobody
    .setLocalDescription() // it knows no server, so nothing is asked of anybody
    .catch(() => {})
    .then(() => nobody.close());
}
