/**
 * What leaves this computer of a microphone: a copy of its track, so that the level shows while nothing is sent; or,
 * hands-free, only what is speech in it. Published in the avatar's room.
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
    /** Whether what is heard now goes out, as far as a gate has a say in it. */
    this.isThrough = true;
    this.turns = 0;
    this.onLost = () => {}; // the gate; what goes out is the whole sound again
  }

  /**
   * Another microphone, or another way. Where no gate can be had, the whole sound goes out: to be heard comes first.
   *
   * @param {MediaStream} stream
   * @param {boolean} isSpeechOnly
   * @returns {Promise<GateState | "overtaken">}  overtaken: ended, or asked for again, meanwhile
   */
  async take(stream, isSpeechOnly) {
    this.turns += 1;
    const turn = this.turns;
    const gate = isSpeechOnly ? await this.gateOf(stream, turn) : null;
    if (turn !== this.turns) {
      gate?.close();
      return "overtaken";
    }
    this.let();
    this.stream = stream;
    this.gate = gate;
    this.isThrough = !gate;
    this.track = this.copy(stream);
    await this.publish();
    if (turn !== this.turns) return "overtaken";
    if (!isSpeechOnly) return "off";
    return gate ? "on" : "failed";
  }

  /**
   * Whether what is said goes out.
   *
   * @param {boolean} isSent
   */
  send(isSent) {
    this.isSent = isSent;
    if (this.track) this.track.enabled = isSent;
  }

  /** The room was entered, perhaps again: what was published there before is gone, and LiveKit has ended it. */
  async publish() {
    if (!this.stream || !this.track || !this.line.isTaking()) return;
    const track = this.track.readyState === "ended" ? this.copy(this.stream) : this.track;
    this.track = track;
    // A room that is just being left does not take it; the next one is offered it again.
    if (track) await this.line.publish(track).catch(() => {});
  }

  end() {
    this.turns += 1;
    this.let();
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
   * @param {number} turn
   * @returns {Promise<Gate | null>}
   */
  async gateOf(stream, turn) {
    const onChange = (/** @type {boolean} */ isOpen) => {
      if (turn !== this.turns) return;
      this.isThrough = isOpen;
      this.onChange();
    };
    try {
      return await this.gateFor(stream, onChange, () => void this.lose(turn));
    } catch {
      return null;
    }
  }

  /** @param {number} turn */
  async lose(turn) {
    if (turn !== this.turns || !this.stream) return;
    await this.take(this.stream, false);
    this.onLost();
  }

  let() {
    if (this.track) this.line.withdraw(this.track);
    this.track?.stop();
    this.gate?.close();
    this.track = this.gate = null;
  }
}
