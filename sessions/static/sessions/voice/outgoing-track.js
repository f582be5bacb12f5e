/**
 * The microphone track published in the avatar's room: a clone, so that the level meter works while nothing is sent, or
 * in hands-free mode a filtered one with speech only.
 *
 * @typedef {{ copy: () => MediaStreamTrack, close: () => void }} Gate
 * @typedef {(stream: MediaStream, onChange: (isOpen: boolean) => void, onLost: () => void) => Promise<Gate>} GateFor
 * @typedef {"off" | "on" | "failed"} GateState
 */

export class OutgoingTrack {
  #room;
  #gateFor;
  #onChange;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {Gate | null} */
  #gate = null;
  /** @type {MediaStreamTrack | null} */
  #track = null;
  #isSent = false;
  #attempt = 0; // results of an earlier attempt are dropped

  /**
   * @param {object} parts
   * @param {{ canPublish: () => boolean, publish: (track: MediaStreamTrack) => Promise<unknown>,
   *   unpublish: (track: MediaStreamTrack) => void }} parts.room
   * @param {GateFor} parts.gateFor
   * @param {() => void} parts.onChange
   */
  constructor({ room, gateFor, onChange }) {
    this.#room = room;
    this.#gateFor = gateFor;
    this.#onChange = onChange;
    /** Whether the gate lets sound through now; true without a gate. */
    this.isThrough = true;
    this.onLost = () => {}; // the gate failed, so all sound is sent
  }

  /**
   * Send another microphone, or filter it differently. If the gate is not available, all sound is sent.
   *
   * @param {MediaStream} stream
   * @param {boolean} isSpeechOnly
   * @returns {Promise<GateState | "superseded">}  superseded: ended or called again meanwhile
   */
  async setStream(stream, isSpeechOnly) {
    this.#attempt += 1;
    const attempt = this.#attempt;
    const gate = isSpeechOnly ? await this.#openGate(stream, attempt) : null;
    if (attempt !== this.#attempt) {
      gate?.close();
      return "superseded";
    }
    this.#release();
    this.#stream = stream;
    this.#gate = gate;
    this.isThrough = !gate;
    this.#track = this.#copy(stream);
    await this.publish();
    if (attempt !== this.#attempt) return "superseded";
    if (!isSpeechOnly) return "off";
    return gate ? "on" : "failed";
  }

  /**
   * Send or mute the track.
   *
   * @param {boolean} isSent
   */
  send(isSent) {
    this.#isSent = isSent;
    if (this.#track) this.#track.enabled = isSent;
  }

  /** Publish in a room that was joined. LiveKit ends tracks when their room is left. */
  async publish() {
    if (!this.#stream || !this.#track || !this.#room.canPublish()) return;
    const track = this.#track.readyState === "ended" ? this.#copy(this.#stream) : this.#track;
    this.#track = track;
    // A room that is being left refuses the track; it is published in the next one.
    if (track) await this.#room.publish(track).catch(() => {});
  }

  end() {
    this.#attempt += 1;
    this.#release();
    this.#stream = null;
  }

  /** @param {MediaStream} stream */
  #copy(stream) {
    const track = this.#gate?.copy() ?? stream.getAudioTracks()[0]?.clone() ?? null;
    if (track) track.enabled = this.#isSent;
    return track;
  }

  /**
   * @param {MediaStream} stream
   * @param {number} attempt
   * @returns {Promise<Gate | null>}
   */
  async #openGate(stream, attempt) {
    const onChange = (/** @type {boolean} */ isOpen) => {
      if (attempt !== this.#attempt) return;
      this.isThrough = isOpen;
      this.#onChange();
    };
    try {
      return await this.#gateFor(stream, onChange, () => void this.#loseGate(attempt));
    } catch {
      return null;
    }
  }

  /** @param {number} attempt */
  async #loseGate(attempt) {
    if (attempt !== this.#attempt || !this.#stream) return;
    await this.setStream(this.#stream, false);
    this.onLost();
  }

  #release() {
    if (this.#track) this.#room.unpublish(this.#track);
    this.#track?.stop();
    this.#gate?.close();
    this.#track = this.#gate = null;
  }
}
