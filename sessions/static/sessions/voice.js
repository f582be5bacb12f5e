/**
 * Speaking to the avatar: when the microphone is open, and when what it hears is sent. Owns no element.
 *
 * hold        only while the button or the space bar is held; each press is one utterance, and is marked as such
 *             for providers that take marks
 * hands_free  always; the provider finds out when somebody speaks
 *
 * @typedef {import("./microphone.js").Trouble | "off" | "asking" | "on" | "silent" | "unheard"} MicrophoneState
 * @typedef {"hold" | "hands_free"} Mode
 * @typedef {{ topic: string, start: string, stop: string }} Marks
 */

import { Stillness } from "./level.js";

/** People let go with the last syllable, and sound is on its way for longer than a mark. */
const TAIL_MS = 350;
const STILL_MS = { hold: 2_500, hands_free: 20_000 };

export class Voice {
  /**
   * @param {object} parts
   * @param {import("./microphone.js").Microphone} parts.microphone
   * @param {{ isTaking: () => boolean, publish: (track: MediaStreamTrack) => Promise<unknown>,
   *   withdraw: (track: MediaStreamTrack) => void, mark: (topic: string, payload: string) => void }} parts.line
   * @param {{ hands_free: boolean, push_to_talk: Marks | null }} parts.can
   * @param {{ recall: (name: string) => string, keep: (name: string, value: string) => void }} parts.wishes
   * @param {(data: { state: MicrophoneState, mode: Mode }) => unknown} parts.report
   * @param {(isPressed: boolean) => void} parts.onPress
   * @param {() => void} parts.onChange
   */
  constructor({ microphone, line, can, wishes, report, onPress, onChange }) {
    this.microphone = microphone;
    this.line = line;
    this.can = can;
    this.wishes = wishes;
    this.report = report;
    this.onPress = onPress;
    this.onChange = onChange;
    /** @type {MicrophoneState} */
    this.state = "off";
    this.isPressed = false;
    this.isMarked = false; // in this session the provider hears what is between marks, and nothing else
    this.level = 0;
    /** @type {{ id: string, name: string }[]} */
    this.choices = [];
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.tail = undefined;
    this.stillness = new Stillness(STILL_MS[this.mode]);
  }

  /** @returns {Mode} */
  get mode() {
    return this.isMarked ? "hold" : this.wish;
  }

  /** @returns {Mode} what the person would have; a session that takes marks keeps to them */
  get wish() {
    return this.can.hands_free && this.wishes.recall("mode") === "hands_free" ? "hands_free" : "hold";
  }

  get isOpen() {
    return this.microphone.isOpen;
  }

  /** The microphone's own button. */
  async toggle() {
    if (this.isOpen || this.state === "asking") this.close();
    else await this.open();
  }

  async open() {
    this.become("asking");
    const outcome = await this.microphone.open(this.wishes.recall("device"));
    if (outcome === "overtaken") return;
    if (outcome !== "open") return this.become(outcome);
    this.stillness = new Stillness(STILL_MS[this.mode]);
    this.become("on");
    this.obey();
    await this.publish();
    await this.look();
  }

  /** Which microphones there are now. */
  async look() {
    this.choices = await this.microphone.choices();
    this.onChange();
  }

  /** Nothing is heard any more, and the browser shows so: by the person's wish, or as the session is over. */
  close() {
    this.release();
    this.endTail();
    if (this.microphone.outgoing) this.line.withdraw(this.microphone.outgoing);
    this.microphone.close();
    this.level = 0;
    if (this.state !== "off") this.become("off");
  }

  /** Another session begins, with an ear that knows nothing of marks. */
  forget() {
    this.close();
    this.isMarked = false;
  }

  lost() {
    this.close();
    this.become("absent");
  }

  /** The room was entered, perhaps again: what was published there before is gone. */
  async publish() {
    if (!this.line.isTaking()) return;
    const outgoing = this.microphone.renewed();
    if (!outgoing) return;
    // A room that is just being left does not take it; the next one is offered it again.
    await this.line.publish(outgoing).catch(() => {});
  }

  press() {
    if (this.mode !== "hold" || this.isPressed || !this.isOpen) return;
    if (this.state === "unheard") this.become("on");
    this.isPressed = true;
    this.stillness.begin();
    if (this.tail) clearTimeout(this.tail);
    else this.mark("start");
    this.tail = undefined;
    this.obey();
    this.onPress(true);
    this.onChange();
  }

  release() {
    if (!this.isPressed) return;
    this.isPressed = false;
    this.tail = setTimeout(() => this.endTail(), TAIL_MS);
    this.onPress(false);
    this.onChange();
  }

  endTail() {
    if (this.tail === undefined) return;
    clearTimeout(this.tail);
    this.tail = undefined;
    this.mark("stop");
    this.obey();
  }

  /** @param {Mode} mode */
  choose(mode) {
    this.release();
    this.endTail();
    this.wishes.keep("mode", mode);
    this.stillness = new Stillness(STILL_MS[this.mode]);
    this.obey();
    if (this.isOpen) this.report({ state: this.state, mode: this.mode });
    this.onChange();
  }

  /** @param {string} deviceId */
  async use(deviceId) {
    this.wishes.keep("device", deviceId);
    if (!this.isOpen) return;
    this.close();
    await this.open();
  }

  /**
   * @param {number} level
   * @param {number} now
   */
  heard(level, now) {
    if (!this.isOpen) return;
    this.level = level;
    const isStill = this.stillness.isTooLong(level, this.isPressed || this.mode === "hands_free", now);
    if (isStill && this.state === "on") this.become("silent");
    else if (level > 0 && this.state === "silent") this.become("on");
    else this.onChange();
  }

  obey() {
    this.microphone.send(this.mode === "hands_free" || this.isPressed || this.tail !== undefined);
  }

  /** @param {"start" | "stop"} which */
  mark(which) {
    const marks = this.can.push_to_talk;
    if (!marks) return;
    this.isMarked = true;
    this.line.mark(marks.topic, marks[which]);
  }

  /** @param {MicrophoneState} state */
  become(state) {
    this.state = state;
    if (state !== "asking") this.report({ state, mode: this.mode });
    this.onChange();
  }
}
