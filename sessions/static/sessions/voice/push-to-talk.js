/**
 * The button or the space bar, held to be heard: each press is one utterance, and is marked as such for providers that
 * take marks.
 *
 * @typedef {{ topic: string, start: string, stop: string }} Marks
 */

/** People let go with the last syllable, and sound is on its way for longer than a mark. */
const TAIL_MS = 350;

export class PushToTalk {
  /**
   * @param {object} parts
   * @param {Marks | null} parts.marks
   * @param {(topic: string, payload: string) => void} parts.tell  publishes in the room
   * @param {() => void} parts.onEnd  nothing is on its way any more
   */
  constructor({ marks, tell, onEnd }) {
    this.marks = marks;
    this.tell = tell;
    this.onEnd = onEnd;
    this.isPressed = false;
    this.isMarked = false; // in this session the provider hears what is between marks, and nothing else
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.tail = undefined;
  }

  /** Whether what is said goes out. */
  get isHeard() {
    return this.isPressed || this.tail !== undefined;
  }

  /** A press that follows at once belongs to the same utterance. */
  press() {
    this.isPressed = true;
    if (this.tail) clearTimeout(this.tail);
    else this.mark("start");
    this.tail = undefined;
  }

  release() {
    this.isPressed = false;
    this.tail = setTimeout(() => this.end(), TAIL_MS);
  }

  end() {
    if (this.tail === undefined) return;
    clearTimeout(this.tail);
    this.tail = undefined;
    this.mark("stop");
    this.onEnd();
  }

  /** Another session begins, with an ear that knows nothing of marks. */
  forget() {
    this.end();
    this.isMarked = false;
  }

  /** @param {"start" | "stop"} which */
  mark(which) {
    if (!this.marks) return;
    this.isMarked = true;
    this.tell(this.marks.topic, this.marks[which]);
  }
}
