/**
 * Whether what comes from the room is played, or held back until somebody taps.
 *
 * What was refused to a track counts. LiveKit's own status calls sound blocked before there is any, where a machine takes
 * longer than a fifth of a second to wake up its loudspeakers.
 */

/** @typedef {import("./room.js").AvatarRoom} AvatarRoom */

/**
 * @param {AvatarRoom} room
 * @param {import("livekit-client").RemoteTrack} track
 */
export function hearOfPlayback(room, track) {
  const { AudioPlaybackFailed, VideoPlaybackFailed, AudioPlaybackStarted, VideoPlaybackStarted } =
    room.LiveKit.TrackEvent;
  const refused = () => room.onEvent({ type: "playback_blocked", isPictureHeld: !room.room.canPlaybackVideo });
  track.on(AudioPlaybackFailed, refused).on(VideoPlaybackFailed, refused);
  const started = () => tellPlayback(room);
  track.on(AudioPlaybackStarted, started).on(VideoPlaybackStarted, started);
}

/** @param {AvatarRoom} room */
export function tellPlayback({ room, onEvent }) {
  if (room.canPlaybackAudio && room.canPlaybackVideo) onEvent({ type: "playback_started" });
}
