/** Who is in a LiveKit room besides us, and what of theirs has arrived here. */

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
