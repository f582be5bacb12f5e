/**
 * Speaking to the avatar: when the microphone is open, and when what it hears is sent. Owns no element.
 *
 * hold        only while the button or the space bar is held
 * hands_free  always, or whenever somebody speaks; the provider finds out when a sentence is over
 *
 * @typedef {import("./microphone.js").Trouble | "off" | "asking" | "on" | "silent" | "unheard"} MicrophoneState
 * @typedef {"hold" | "hands_free"} Mode
 * @typedef {import("./outgoing-track.js").GateState} GateState
 */

import { Stillness } from "./level.js";
import { PushToTalk } from "./push-to-talk.js";

const STILL_MS = { hold: 2_500, hands_free: 20_000 };

export class Voice {
  /**
   * @param {object} parts
   * @param {import("./microphone.js").Microphone} parts.microphone
   * @param {import("./outgoing-track.js").OutgoingTrack} parts.outgoing
   * @param {(topic: string, payload: string) => void} parts.tell  publishes in the room
   * @param {{ hands_free: boolean, push_to_talk: import("./push-to-talk.js").Marks | null }} parts.can
   * @param {{ recall: (name: string) => string, keep: (name: string, value: string) => void }} parts.preferences
   * @param {(data: { state: MicrophoneState, mode: Mode, gate: GateState }) => unknown} parts.report
   * @param {(isPressed: boolean) => void} parts.onPress
   * @param {() => void} parts.onChange
   */
  constructor({ microphone, outgoing, tell, can, preferences, report, onPress, onChange }) {
    this.microphone = microphone;
    this.outgoing = outgoing;
    this.pushToTalk = new PushToTalk({ marks: can.push_to_talk, tell, onEnd: () => this.obey() });
    this.can = can;
    this.preferences = preferences;
    this.report = report;
    this.onPress = onPress;
    this.onChange = onChange;
    /** @type {MicrophoneState} */
    this.state = "off";
    /** @type {GateState} */
    this.gate = "off";
    this.level = 0;
    /** @type {{ id: string, name: string }[]} */
    this.choices = [];
    this.stillness = new Stillness(STILL_MS[this.mode]);
    outgoing.onLost = () => this.note("failed");
  }

  /** @returns {Mode} */
  get mode() {
    return this.pushToTalk.isMarked ? "hold" : this.wish;
  }

  /** @returns {Mode} what the person would have; a session that takes marks keeps to them */
  get wish() {
    return this.can.hands_free && this.preferences.recall("mode") === "hands_free" ? "hands_free" : "hold";
  }

  /** Hands-free, whether only speech goes out: a clap or the keyboard would interrupt, and be answered. */
  get isSpeechOnly() {
    return this.preferences.recall("gate") !== "off";
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
    const outcome = await this.microphone.open(this.preferences.recall("device"));
    if (outcome === "overtaken") return;
    if (outcome !== "open") return this.become(outcome);
    this.stillness = new Stillness(STILL_MS[this.mode]);
    this.obey();
    if (!(await this.pass())) return;
    this.become("on");
    await this.look();
  }

  /** What goes out goes out the way that was chosen; false if it was closed meanwhile. */
  async pass() {
    const { stream } = this.microphone;
    if (!stream) return false;
    const gate = await this.outgoing.take(stream, this.mode === "hands_free" && this.isSpeechOnly);
    if (gate !== "overtaken") this.gate = gate;
    return gate !== "overtaken";
  }

  /** Which microphones there are now. */
  async look() {
    this.choices = await this.microphone.choices();
    this.onChange();
  }

  /** Nothing is heard any more, and the browser shows so: by the person's wish, or as the session is over. */
  close() {
    this.release();
    this.pushToTalk.end();
    this.outgoing.end();
    this.microphone.close();
    this.level = 0;
    this.gate = "off";
    if (this.state !== "off") this.become("off");
  }

  /** The session is over. @param {boolean} goesOn in another one, and so does whoever spoke */
  leave(goesOn) {
    if (goesOn) this.release();
    else this.close();
    this.pushToTalk.forget();
  }

  lost() {
    this.close();
    this.become("absent");
  }

  press() {
    if (this.mode !== "hold" || this.pushToTalk.isPressed || !this.isOpen) return;
    if (this.state === "unheard") this.become("on");
    this.stillness.begin();
    this.pushToTalk.press();
    this.obey();
    this.onPress(true);
    this.onChange();
  }

  release() {
    if (!this.pushToTalk.isPressed) return;
    this.pushToTalk.release();
    this.onPress(false);
    this.onChange();
  }

  /** @param {Mode} mode */
  choose(mode) {
    this.release();
    this.pushToTalk.end();
    this.preferences.keep("mode", mode);
    this.stillness = new Stillness(STILL_MS[this.mode]);
    void this.change();
  }

  /** @param {boolean} isSpeechOnly */
  filter(isSpeechOnly) {
    this.preferences.keep("gate", isSpeechOnly ? "on" : "off");
    void this.change();
  }

  /** Another way of being heard was chosen. */
  async change() {
    this.obey();
    this.onChange();
    if (await this.pass()) this.note(this.gate);
  }

  /** @param {GateState} gate */
  note(gate) {
    this.gate = gate;
    this.become(this.state);
  }

  /** @param {string} deviceId */
  async use(deviceId) {
    this.preferences.keep("device", deviceId);
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
    const isStill = this.stillness.isTooLong(level, this.pushToTalk.isPressed || this.mode === "hands_free", now);
    if (isStill && this.state === "on") this.become("silent");
    else if (level > 0 && this.state === "silent") this.become("on");
    else this.onChange();
  }

  obey() {
    this.outgoing.send(this.mode === "hands_free" || this.pushToTalk.isHeard);
  }

  /** @param {MicrophoneState} state */
  become(state) {
    this.state = state;
    if (state !== "asking") this.report({ state, mode: this.mode, gate: this.gate });
    this.onChange();
  }
}
