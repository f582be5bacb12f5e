/**
 * The microphone track published in the avatar's room: a clone, so that the level meter works while nothing is sent, or
 * in hands-free mode a filtered one with speech only.
 *
 * @typedef {{ copy: () => MediaStreamTrack, close: () => void }} Gate
 * @typedef {(stream: MediaStream, onChange: (isOpen: boolean) => void, onLost: () => void) => Promise<Gate>} GateFor
 * @typedef {"off" | "on" | "failed"} GateState
 */

export class OutgoingTrack {
  /**
   * @param {object} parts
   * @param {{ isTaking: () => boolean, publish: (track: MediaStreamTrack) => Promise<unknown>,
   *   withdraw: (track: MediaStreamTrack) => void }} parts.line
   * @param {GateFor} parts.gateFor
   * @param {() => void} parts.onChange
   */
  constructor({ line, gateFor, onChange }) {
    this.line = line;
    this.gateFor = gateFor;
    this.onChange = onChange;
    /** @type {MediaStream | null} */
    this.stream = null;
    /** @type {Gate | null} */
    this.gate = null;
    /** @type {MediaStreamTrack | null} */
    this.track = null;
    this.isSent = false;
    /** Whether the gate lets sound through now; true without a gate. */
    this.isThrough = true;
    this.takes = 0; // results of an earlier take are dropped
    this.onLost = () => {}; // the gate failed, so all sound is sent
  }

  /**
   * Send another microphone, or filter it differently. If the gate is not available, all sound is sent.
   *
   * @param {MediaStream} stream
   * @param {boolean} isSpeechOnly
   * @returns {Promise<GateState | "overtaken">}  overtaken: ended or called again meanwhile
   */
  async take(stream, isSpeechOnly) {
    this.takes += 1;
    const take = this.takes;
    const gate = isSpeechOnly ? await this.gateOf(stream, take) : null;
    if (take !== this.takes) {
      gate?.close();
      return "overtaken";
    }
    this.release();
    this.stream = stream;
    this.gate = gate;
    this.isThrough = !gate;
    this.track = this.copy(stream);
    await this.publish();
    if (take !== this.takes) return "overtaken";
    if (!isSpeechOnly) return "off";
    return gate ? "on" : "failed";
  }

  /**
   * Send or mute the track.
   *
   * @param {boolean} isSent
   */
  send(isSent) {
    this.isSent = isSent;
    if (this.track) this.track.enabled = isSent;
  }

  /** Publish in a room that was joined. LiveKit ends tracks when their room is left. */
  async publish() {
    if (!this.stream || !this.track || !this.line.isTaking()) return;
    const track = this.track.readyState === "ended" ? this.copy(this.stream) : this.track;
    this.track = track;
    // A room that is being left refuses the track; it is published in the next one.
    if (track) await this.line.publish(track).catch(() => {});
  }

  end() {
    this.takes += 1;
    this.release();
    this.stream = null;
  }

  /** @param {MediaStream} stream */
  copy(stream) {
    const track = this.gate?.copy() ?? stream.getAudioTracks()[0]?.clone() ?? null;
    if (track) track.enabled = this.isSent;
    return track;
  }

  /**
   * @param {MediaStream} stream
   * @param {number} take
   * @returns {Promise<Gate | null>}
   */
  async gateOf(stream, take) {
    const onChange = (/** @type {boolean} */ isOpen) => {
      if (take !== this.takes) return;
      this.isThrough = isOpen;
      this.onChange();
    };
    try {
      return await this.gateFor(stream, onChange, () => void this.lose(take));
    } catch {
      return null;
    }
  }

  /** @param {number} take */
  async lose(take) {
    if (take !== this.takes || !this.stream) return;
    await this.take(this.stream, false);
    this.onLost();
  }

  release() {
    if (this.track) this.line.withdraw(this.track);
    this.track?.stop();
    this.gate?.close();
    this.track = this.gate = null;
  }
}
