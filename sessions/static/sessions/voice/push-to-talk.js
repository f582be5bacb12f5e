/**
 * Push-to-talk: each press of the button or the space bar is one utterance. Providers that support it are sent a marker
 * at its beginning and end.
 *
 * @typedef {{ topic: string, start: string, stop: string }} Markers
 */

/** Users release with the last syllable, and sound arrives later than a marker. */
const TAIL_MS = 350;

export class PushToTalk {
  #markers;
  #publishData;
  #onEnd;
  #onFailed;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #tail;

  /**
   * @param {object} parts
   * @param {Markers | null} parts.markers
   * @param {(topic: string, payload: string) => Promise<unknown>} parts.publishData  publishes a data packet in the room
   * @param {() => void} parts.onEnd  the utterance is over
   * @param {() => void} [parts.onFailed]  the provider does not listen: a marker was not sent
   */
  constructor({ markers, publishData, onEnd, onFailed = () => {} }) {
    this.#markers = markers;
    this.#publishData = publishData;
    this.#onEnd = onEnd;
    this.#onFailed = onFailed;
    this.isPressed = false;
    this.isMarked = false; // the provider ignores speech outside markers for the rest of the session
  }

  /** Whether speech is sent. */
  get isSending() {
    return this.isPressed || this.#tail !== undefined;
  }

  /** Begin an utterance, or continue one that was released just now. */
  press() {
    this.isPressed = true;
    if (this.#tail) clearTimeout(this.#tail);
    else this.#mark("start");
    this.#tail = undefined;
  }

  release() {
    this.isPressed = false;
    this.#tail = setTimeout(() => this.end(), TAIL_MS);
  }

  end() {
    if (this.#tail === undefined) return;
    clearTimeout(this.#tail);
    this.#tail = undefined;
    this.#mark("stop");
    this.#onEnd();
  }

  /** Another session begins, which has seen no markers. */
  forget() {
    this.end();
    this.isMarked = false;
  }

  /** @param {"start" | "stop"} which */
  #mark(which) {
    if (!this.#markers) return;
    this.isMarked = true;
    this.#publishData(this.#markers.topic, this.#markers[which]).catch(() => this.#onFailed());
  }
}
