/**
 * The avatar's LiveKit room: picture and sound into the page's elements, all the rest out as events.
 * Knows nothing of the portal, and touches no element but the two it was given.
 */

import { AvatarEvents } from "./avatar-events.js";
import { routeInto } from "./ice-route.js";
import { enter, thrownOut } from "./join.js";
import { hearOfPlayback, tellPlayback } from "./playback.js";
import { offerNow, subscribeAnew, warmUp, whoIsIn } from "./remote-tracks.js";

export class AvatarRoom {
  /**
   * @param {object} parts
   * @param {typeof import("livekit-client")} parts.LiveKit
   * @param {HTMLVideoElement} parts.video
   * @param {HTMLAudioElement} parts.audio
   * @param {(event: { type: string, [key: string]: any }) => void} parts.onEvent
   * @param {() => boolean} [parts.isDark]  whether the frame that stands is black
   */
  constructor({ LiveKit, video, audio, onEvent, isDark = () => false }) {
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
    this.isDark = isDark;
    // Not adaptive: the one picture is always wanted, and measuring the element first would delay it.
    this.room = new LiveKit.Room({ adaptiveStream: false });
    this.isIn = this.isMuted = this.isReconnecting = false;
    this.joiningSince = 0; // without an answer; 0 while in, and before the first try
    /** @type {{ url: string, token: string } | undefined} */
    this.place = undefined;
    this.quality = "";
    /** @type {import("../recovery/diagnosis.js").Facts["refusal"]} */
    this.refusal = "";
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
    warmUp();
  }

  /**
   * Be in a room before it is needed: what it has to say is kept until `join` names the same one.
   *
   * @param {string} url
   * @param {string} token
   * @param {string} name
   */
  async wait(url, token, name) {
    this.held = [];
    this.name = name;
    await enter(this, url, token);
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
    if (held && name === this.name) for (const event of held) this.onEvent(event);
    else await enter(this, url, token);
  }

  leave() {
    this.visit += 1;
    this.isIn = this.isReconnecting = false;
    this.joiningSince = 0;
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
  mute(isSilent) {
    this.isMuted = isSilent;
    const sound = /** @type {MediaStream | null | undefined} */ (this.audio.srcObject);
    for (const track of sound?.getAudioTracks() ?? []) track.enabled = !isSilent;
  }

  /** Play what the browser held back; only a person's tap may call this. */
  async unblock() {
    await Promise.allSettled([this.room.startAudio(), this.room.startVideo()]);
    tellPlayback(this);
  }

  listen() {
    const { RoomEvent } = this.LiveKit;
    this.room
      .on(RoomEvent.TrackSubscribed, (track, _publication, participant) => this.attach(track, participant.identity))
      .on(RoomEvent.DataReceived, (payload, _participant, _kind, topic) => {
        for (const event of this.events.read(payload, topic)) this.onEvent(event);
      })
      .on(RoomEvent.TrackUnsubscribed, (track) => this.onEvent({ type: "track_unsubscribed", kind: track.kind }))
      .on(RoomEvent.TrackPublished, ({ kind }) => {
        offerNow(this.room);
        this.onEvent({ type: "track_published", kind });
      })
      .on(RoomEvent.ConnectionStateChanged, (state) => this.onEvent({ type: "connection_state", state }))
      .on(RoomEvent.Reconnecting, () => {
        this.isReconnecting = true;
        this.onEvent({ type: "room_reconnecting" });
      })
      .on(RoomEvent.Reconnected, () => {
        this.isReconnecting = false;
        this.onEvent({ type: "room_reconnected" });
      })
      .on(RoomEvent.Disconnected, (reason) => thrownOut(this, reason))
      .on(RoomEvent.ConnectionQualityChanged, (quality, participant) => {
        if (!participant.isLocal) return;
        this.quality = quality;
        this.onEvent({ type: "quality", quality });
      });
  }

  /**
   * @param {import("livekit-client").RemoteTrack} track
   * @param {string} identity
   */
  attach(track, identity) {
    const isVideo = track.kind === this.LiveKit.Track.Kind.Video;
    if (isVideo) this.awaitPicture(this.visit);
    hearOfPlayback(this, track);
    track.attach(isVideo ? this.video : this.audio);
    this.mute(this.isMuted);
    this.onEvent({ type: "track_subscribed", kind: track.kind, identity });
  }

  /**
   * A black frame is no picture yet.
   *
   * @param {number} visit
   */
  awaitPicture(visit) {
    this.video.requestVideoFrameCallback((shownAt, { width, height }) => {
      if (visit !== this.visit) return;
      if (this.isDark()) return this.awaitPicture(visit);
      this.onEvent({ type: "first_frame", shownAt, width, height });
      void this.reportRoute(visit);
    });
  }

  /** @param {number} visit */
  async reportRoute(visit) {
    const route = await routeInto(this.room);
    if (route && visit === this.visit) this.onEvent({ type: "way", ...route });
  }

  /** Ask the room for the picture anew, on the connection that stands. */
  resubscribe() {
    subscribeAnew(this.room);
  }

  /** What can be seen of the room from here. */
  facts() {
    const { isIn, isReconnecting, refusal, quality } = this;
    const joiningFor = this.joiningSince && performance.now() - this.joiningSince;
    return { isIn, isReconnecting, refusal, quality, joiningFor, ...whoIsIn(this.room, isIn) };
  }
}
