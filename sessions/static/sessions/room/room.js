/**
 * The avatar's LiveKit room. Plays video and audio in the page's elements and reports everything else as events.
 * Knows nothing of the portal.
 */

import { backoff } from "../lib/clock.js";
import { refusalOf } from "../recovery/diagnosis.js";
import { AvatarEvents } from "./avatar-events.js";
import { OUT, reduce } from "./connection-state.js";
import { routeInto } from "./ice-route.js";
import {
  hasUnsubscribedTracks,
  negotiateNow,
  publishedKinds,
  remoteFacts,
  resubscribeToVideo,
  warmUp,
} from "./remote-tracks.js";

/** A new room may not be known to every LiveKit node yet. The attempts take about ten seconds together. */
const JOIN_ATTEMPTS = 6;
const RETRY = { first: 300, most: 3_000 };
/** Reasons after which the same token cannot open the room again. */
const CLOSED = ["PARTICIPANT_REMOVED", "ROOM_DELETED"];

/** @typedef {import("./connection-state.js").RoomEvent} RoomEvent */

export class AvatarRoom {
  #LiveKit;
  #room;
  #video;
  #audio;
  #onEvent;
  #isDark;
  #onAudio;
  #dataChannel = new AvatarEvents();
  #state = OUT;

  /**
   * @param {object} parts
   * @param {typeof import("livekit-client")} parts.LiveKit
   * @param {HTMLVideoElement} parts.video
   * @param {HTMLAudioElement} parts.audio
   * @param {(event: RoomEvent) => void} parts.onEvent
   * @param {() => boolean} [parts.isDark]  whether the current video frame is black
   * @param {(track: MediaStreamTrack) => void} [parts.onAudio]  the avatar's sound arrives
   */
  constructor({ LiveKit, video, audio, onEvent, isDark = () => false, onAudio = () => {} }) {
    this.#LiveKit = LiveKit;
    this.#video = video;
    this.#audio = audio;
    this.#onEvent = onEvent;
    this.#isDark = isDark;
    this.#onAudio = onAudio;
    // Not adaptive: the only video is always wanted, and measuring its element first would delay it.
    this.#room = new LiveKit.Room({ adaptiveStream: false });
    this.#listen();
  }

  get isIn() {
    return this.#state.isIn;
  }

  /** Whether a room has been joined before Start. */
  get hasEarlyRoom() {
    return this.#state.early !== null;
  }

  /** LiveKit's room, for the debug panel. */
  get livekitRoom() {
    return this.#room;
  }

  /** LiveKit's module, for the debug panel. */
  get LiveKit() {
    return this.#LiveKit;
  }

  /**
   * Warm up the connection. Harmless if the session's room turns out to be elsewhere.
   *
   * @param {string} url
   */
  warmUp(url) {
    if (url) void this.#room.prepareConnection(url);
    warmUp();
  }

  /**
   * Join a room before Start. Its events are kept until `join` asks for the same room.
   *
   * @param {string} url
   * @param {string} token
   * @param {string} name
   */
  async joinEarly(url, token, name) {
    this.#change({ type: "join_early", name });
    await this.#connect(url, token);
  }

  /**
   * Join with a bounded number of attempts. Reports `room_joined` or `room_lost` through `onEvent`.
   *
   * @param {string} url
   * @param {string} token
   * @param {string} [name]
   */
  async join(url, token, name = "") {
    const { early } = this.#state;
    this.#change({ type: "release_early" });
    if (early?.name === name) for (const event of early.events) this.#report(event);
    else await this.#connect(url, token);
  }

  leave() {
    this.#change({ type: "leave" });
    void this.#room.disconnect();
  }

  /**
   * Publish a data packet as the room's own participant. Rejects if it was not sent.
   *
   * @param {string} topic
   * @param {string} payload
   */
  async publish(topic, payload) {
    if (!this.isIn) throw new Error("not in the room");
    await this.#room.localParticipant.publishData(new TextEncoder().encode(payload), { reliable: true, topic });
  }

  /** @param {MediaStreamTrack} track */
  async publishMicrophone(track) {
    await this.#room.localParticipant.publishTrack(track, { source: this.#LiveKit.Track.Source.Microphone });
  }

  /** @param {MediaStreamTrack} track */
  unpublish(track) {
    void this.#room.localParticipant.unpublishTrack(track).catch(() => {}); // the room may be gone
  }

  /**
   * Mute or unmute playback at once, in this page only.
   *
   * @param {boolean} isMuted
   */
  mute(isMuted) {
    this.#change({ type: "mute", isMuted });
    this.#applyMute();
  }

  /** Play what the browser blocked. Call from a user gesture only. */
  async unblock() {
    await Promise.allSettled([this.#room.startAudio(), this.#room.startVideo()]);
    this.#reportPlayback();
  }

  /** Subscribe to the video again on the existing connection. */
  resubscribe() {
    resubscribeToVideo(this.#room);
  }

  /** What the page knows about the room, for the diagnosis. */
  facts() {
    const { isIn, isReconnecting, refusal, quality, joiningSince } = this.#state;
    const joiningFor = joiningSince && performance.now() - joiningSince;
    return { isIn, isReconnecting, refusal, quality, joiningFor, ...remoteFacts(this.#room, isIn) };
  }

  /** @param {RoomEvent} event */
  #change(event) {
    this.#state = reduce(this.#state, event);
  }

  /** @param {RoomEvent} event */
  #report(event) {
    if (!this.#state.early) this.#onEvent(event);
    else if (event.type === "room_lost")
      this.leave(); // Start has not been pressed; it will join another room
    else this.#change({ type: "early_event", event });
  }

  /**
   * @param {string} url
   * @param {string} token
   */
  async #connect(url, token) {
    const isAgain = this.#state.access !== null;
    this.#change({ type: "join", url, token, at: performance.now() });
    const { visit } = this.#state;
    const isStale = () => visit !== this.#state.visit;
    if (isAgain) await this.#room.disconnect(); // LiveKit would reuse the old connection
    for (let attempt = 0; attempt < JOIN_ATTEMPTS; attempt += 1) {
      if (isStale()) return;
      try {
        await this.#room.connect(url, token);
        if (!isStale()) this.#joined();
        return;
      } catch (error) {
        if (isStale()) return;
        this.#change({ type: "refused", refusal: refusalOf(this.#LiveKit, error) });
        if (this.#state.refusal === "token" && attempt > 0) break; // a third attempt would fail too
        await new Promise((resolve) => setTimeout(resolve, backoff(attempt, RETRY)));
      }
    }
    if (isStale()) return;
    this.#report({ type: "room_lost", reason: this.#LiveKit.DisconnectReason.JOIN_FAILURE, code: "room_refused" });
  }

  #joined() {
    this.#change({ type: "joined" });
    if (hasUnsubscribedTracks(this.#room)) negotiateNow(this.#room);
    this.#report({ type: "room_joined" });
    // LiveKit reports only tracks that are published later.
    for (const kind of publishedKinds(this.#room)) this.#report({ type: "track_published", kind });
  }

  /** @param {import("livekit-client").DisconnectReason} [reason] */
  #disconnected(reason = this.#LiveKit.DisconnectReason.UNKNOWN_REASON) {
    const { isIn, access } = this.#state;
    if (!isIn) return; // a failed join is reported by #connect
    this.#change({ type: "disconnected" });
    const name = this.#LiveKit.DisconnectReason[reason] ?? "";
    if (name === "CLIENT_INITIATED") return; // the page is being left
    this.#report({ type: "room_disconnected", reason });
    if (name === "DUPLICATE_IDENTITY") this.#report({ type: "room_lost", reason, code: "room_elsewhere" });
    else if (CLOSED.includes(name)) {
      this.#change({ type: "closed" });
      this.#report({ type: "room_lost", reason, code: "room_closed" });
    } else if (access) void this.#connect(access.url, access.token);
  }

  #listen() {
    const { RoomEvent } = this.#LiveKit;
    this.#room
      .on(RoomEvent.TrackSubscribed, (track, _publication, participant) => this.#attach(track, participant.identity))
      .on(RoomEvent.DataReceived, (payload, _participant, _kind, topic) => {
        for (const event of this.#dataChannel.read(payload, topic)) this.#report(event);
      })
      .on(RoomEvent.TrackUnsubscribed, (track) => this.#report({ type: "track_unsubscribed", kind: track.kind }))
      .on(RoomEvent.TrackPublished, ({ kind }) => {
        negotiateNow(this.#room);
        this.#report({ type: "track_published", kind });
      })
      .on(RoomEvent.ConnectionStateChanged, (state) => this.#report({ type: "connection_state", state }))
      .on(RoomEvent.Reconnecting, () => {
        this.#change({ type: "reconnecting" });
        this.#report({ type: "room_reconnecting" });
      })
      .on(RoomEvent.Reconnected, () => {
        this.#change({ type: "reconnected" });
        this.#report({ type: "room_reconnected" });
      })
      .on(RoomEvent.Disconnected, (reason) => this.#disconnected(reason))
      .on(RoomEvent.ConnectionQualityChanged, (quality, participant) => {
        if (!participant.isLocal) return;
        this.#change({ type: "quality", quality });
        this.#report({ type: "quality", quality });
      });
  }

  /**
   * @param {import("livekit-client").RemoteTrack} track
   * @param {string} identity
   */
  #attach(track, identity) {
    const isVideo = track.kind === this.#LiveKit.Track.Kind.Video;
    if (isVideo) this.#awaitFirstFrame(this.#state.visit);
    this.#watchPlayback(track);
    track.attach(isVideo ? this.#video : this.#audio);
    this.#applyMute();
    if (!isVideo) this.#onAudio(track.mediaStreamTrack);
    this.#report({ type: "track_subscribed", kind: track.kind, identity });
  }

  /**
   * Report the first frame that is not black.
   *
   * @param {number} visit
   */
  #awaitFirstFrame(visit) {
    this.#video.requestVideoFrameCallback((shownAt, { width, height }) => {
      if (visit !== this.#state.visit) return;
      if (this.#isDark()) return this.#awaitFirstFrame(visit);
      this.#report({ type: "first_frame", shownAt, width, height });
      void this.#reportRoute(visit);
    });
  }

  /** @param {number} visit */
  async #reportRoute(visit) {
    const route = await routeInto(this.#room);
    if (route && visit === this.#state.visit) this.#report({ type: "way", ...route });
  }

  #applyMute() {
    const stream = /** @type {MediaStream | null | undefined} */ (this.#audio.srcObject);
    for (const track of stream?.getAudioTracks() ?? []) track.enabled = !this.#state.isMuted;
  }

  /**
   * Report when the browser refuses to play a track. LiveKit's own status calls audio blocked too early on machines
   * whose audio output takes more than 200 ms to start.
   *
   * @param {import("livekit-client").RemoteTrack} track
   */
  #watchPlayback(track) {
    const { AudioPlaybackFailed, VideoPlaybackFailed, AudioPlaybackStarted, VideoPlaybackStarted } =
      this.#LiveKit.TrackEvent;
    const onRefused = () => this.#report({ type: "playback_blocked", isPictureHeld: !this.#room.canPlaybackVideo });
    track.on(AudioPlaybackFailed, onRefused).on(VideoPlaybackFailed, onRefused);
    const onStarted = () => this.#reportPlayback();
    track.on(AudioPlaybackStarted, onStarted).on(VideoPlaybackStarted, onStarted);
  }

  #reportPlayback() {
    const { canPlaybackAudio, canPlaybackVideo } = this.#room;
    if (canPlaybackAudio && canPlaybackVideo) this.#report({ type: "playback_started" });
  }
}
