/** The other participants of a LiveKit room and their tracks. */

/**
 * @param {import("livekit-client").Room} room
 * @param {boolean} isIn
 */
export function remoteFacts(room, isIn) {
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
export function publishedKinds(room) {
  return tracksOf(room).map(({ kind }) => kind);
}

/** @param {import("livekit-client").Room} room */
export function resubscribeToVideo(room) {
  for (const track of remoteTracks(room, "video")) {
    track.setSubscribed(false);
    track.setSubscribed(true);
  }
}

/**
 * Negotiate the published tracks without delay.
 *
 * LiveKit's server answers an offer at once, but sends its own only 150 ms after the join, which would delay the first
 * frame of a page that joins just before the avatar. This is not part of LiveKit's public interface; if it is missing
 * or fails, the server sends its offer as usual.
 *
 * @param {import("livekit-client").Room} room
 */
export function negotiateNow(room) {
  room.engine?.negotiate().catch(() => {}); // LiveKit reconnects by itself
}

/** @param {import("livekit-client").Room} room */
export function hasUnsubscribedTracks(room) {
  return tracksOf(room).some(({ isSubscribed }) => !isSubscribed);
}

/** Open an unused connection: the first one makes the browser load codecs, certificates and threads. */
export function warmUp() {
  if (typeof RTCPeerConnection === "undefined") return; // the diagnosis reports it
  const connection = new RTCPeerConnection();
  for (const kind of ["video", "audio"]) connection.addTransceiver(kind, { direction: "recvonly" });
  void connection
    .setLocalDescription() // no ICE servers, so nothing is sent
    .catch(() => {})
    .then(() => connection.close());
}
