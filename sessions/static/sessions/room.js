/**
 * The avatar's LiveKit room: picture and sound into the page's elements, all the rest out as events.
 * Knows nothing of the portal, and touches no element but the two it was given.
 */

import { AvatarEvents } from "./avatar-events.js";
import { backoff } from "./clock.js";

/** A room may not have spread yet, or `start` is still on its way: some seconds of trying, then a verdict. */
const TRIES = 6;
const RETRY = { first: 300, most: 3_000 };
/** Here a second try with the same token could only fail again. */
const CLOSED = ["PARTICIPANT_REMOVED", "ROOM_DELETED"];

export class AvatarRoom {
  /**
   * @param {object} parts
   * @param {typeof import("livekit-client")} parts.LiveKit
   * @param {HTMLVideoElement} parts.video
   * @param {HTMLAudioElement} parts.audio
   * @param {(event: { type: string, [key: string]: any }) => void} parts.onEvent
   */
  constructor({ LiveKit, video, audio, onEvent }) {
    this.LiveKit = LiveKit;
    this.video = video;
    this.audio = audio;
    /** @type {{ type: string, [key: string]: any }[] | null} */
    this.held = null; // what a room says that waits for Start; null while none does
    this.name = ""; // of that room
    this.onEvent = (/** @type {{ type: string, [key: string]: any }} */ event) => {
      if (!this.held) return onEvent(event);
      if (event.type === "room_lost") return this.leave(); // nobody was told of it: Start joins anew
      this.held = event.type === "room_disconnected" ? [] : [...this.held, event];
    };
    // Not adaptive: the one picture is always wanted, and measuring the element first would delay it.
    this.room = new LiveKit.Room({ adaptiveStream: false });
    this.isIn = false;
    this.isHushed = false;
    this.events = new AvatarEvents();
    this.visit = 0; // each join or leave begins a new one; what belongs to an old one is dropped
    this.listen();
  }

  /**
   * Warm up the way to the room; harmless when the address turns out to be another.
   *
   * @param {string} url
   */
  prepare(url) {
    if (url) void this.room.prepareConnection(url);
  }

  /**
   * Be in a room before it is needed: what it has to say is kept until `join` names the same one.
   *
   * @param {string} url
   * @param {string} token
   * @param {string} name
   */
  async wait(url, token, name) {
    const isMoving = this.isIn || this.held !== null;
    this.held = [];
    this.name = name;
    await this.enter(url, token, isMoving);
  }

  /**
   * Join, patiently and boundedly. The outcome leaves through onEvent: `room_joined`, or `room_lost`.
   *
   * @param {string} url
   * @param {string} token
   * @param {string} [name]
   */
  async join(url, token, name = "") {
    const { held } = this;
    this.held = null;
    if (held && name === this.name) return held.forEach((event) => this.onEvent(event));
    await this.enter(url, token, held !== null); // away from another one that waited
  }

  /**
   * @param {string} url
   * @param {string} token
   * @param {boolean} [isMoving]  from another room
   */
  async enter(url, token, isMoving = false) {
    const visit = (this.visit += 1);
    this.place = { url, token };
    if (isMoving) {
      this.isIn = false;
      await this.room.disconnect();
      if (visit !== this.visit) return;
    }
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      try {
        await this.room.connect(url, token);
        if (visit !== this.visit) return;
        this.isIn = true;
        return this.onEvent({ type: "room_joined" });
      } catch {
        if (visit !== this.visit) return;
        await new Promise((resolve) => setTimeout(resolve, backoff(attempt, RETRY)));
        if (visit !== this.visit) return;
      }
    }
    this.onEvent({ type: "room_lost", reason: this.LiveKit.DisconnectReason.JOIN_FAILURE, code: "room_refused" });
  }

  leave() {
    this.visit += 1;
    this.isIn = false;
    this.held = null;
    void this.room.disconnect();
  }

  /**
   * Publish what only the room's own participant may say.
   *
   * @param {string} topic
   * @param {string} payload
   */
  publish(topic, payload) {
    void this.room.localParticipant.publishData(new TextEncoder().encode(payload), { reliable: true, topic });
  }

  /**
   * Silence what is played, at once, without leaving or telling anybody; or let it sound again.
   *
   * @param {boolean} isSilent
   */
  hush(isSilent) {
    this.isHushed = isSilent;
    const sound = /** @type {MediaStream | null | undefined} */ (this.audio.srcObject);
    for (const track of sound?.getAudioTracks() ?? []) track.enabled = !isSilent;
  }

  /** Play what the browser held back; only a person's tap may call this. */
  async unblock() {
    await Promise.allSettled([this.room.startAudio(), this.room.startVideo()]);
    this.tellPlayback();
  }

  listen() {
    const { RoomEvent } = this.LiveKit;
    this.room
      .on(RoomEvent.TrackSubscribed, (track, _publication, participant) => this.attach(track, participant.identity))
      .on(RoomEvent.DataReceived, (payload, _participant, _kind, topic) => {
        for (const event of this.events.read(payload, topic)) this.onEvent(event);
      })
      .on(RoomEvent.Reconnecting, () => this.onEvent({ type: "room_reconnecting" }))
      .on(RoomEvent.Reconnected, () => this.onEvent({ type: "room_reconnected" }))
      .on(RoomEvent.Disconnected, (reason) => this.disconnected(reason))
      .on(RoomEvent.ConnectionQualityChanged, (quality, participant) => {
        if (participant.isLocal) this.onEvent({ type: "quality", quality });
      })
      .on(RoomEvent.AudioPlaybackStatusChanged, () => this.tellPlayback())
      .on(RoomEvent.VideoPlaybackStatusChanged, () => this.tellPlayback());
  }

  /**
   * @param {import("livekit-client").RemoteTrack} track
   * @param {string} identity
   */
  attach(track, identity) {
    const isVideo = track.kind === this.LiveKit.Track.Kind.Video;
    if (isVideo) {
      const visit = this.visit;
      this.video.requestVideoFrameCallback((shownAt, { width, height }) => {
        if (visit === this.visit) this.onEvent({ type: "first_frame", shownAt, width, height });
      });
    }
    track.attach(isVideo ? this.video : this.audio);
    this.hush(this.isHushed);
    this.onEvent({ type: "track_subscribed", kind: track.kind, identity });
  }

  tellPlayback() {
    const isPlaying = this.room.canPlaybackAudio && this.room.canPlaybackVideo;
    this.onEvent({ type: isPlaying ? "playback_started" : "playback_blocked" });
  }

  /** @param {import("livekit-client").DisconnectReason} [reason] */
  disconnected(reason = this.LiveKit.DisconnectReason.UNKNOWN_REASON) {
    if (!this.isIn) return; // a join that did not come about is told by join()
    this.isIn = false;
    const name = this.LiveKit.DisconnectReason[reason] ?? "";
    if (name === "CLIENT_INITIATED") return; // the page is being left
    this.onEvent({ type: "room_disconnected", reason });
    if (name === "DUPLICATE_IDENTITY") this.onEvent({ type: "room_lost", reason, code: "room_elsewhere" });
    else if (CLOSED.includes(name)) this.onEvent({ type: "room_lost", reason, code: "room_closed" });
    else if (this.place) void this.enter(this.place.url, this.place.token);
  }
}
