/**
 * Speaking to the avatar: when the microphone is open, and when its sound is sent. Touches no element.
 *
 * hold        only while the button or the space bar is held
 * hands_free  always, or while speech is detected; the provider detects the end of a sentence
 *
 * @typedef {import("./microphone.js").Trouble | "off" | "asking" | "on" | "replaced" | "interrupted" | "silent"
 *   | "unheard"} MicrophoneState  replaced: another microphone took over; interrupted: for example by a phone call
 * @typedef {"hold" | "hands_free"} Mode
 * @typedef {import("./outgoing-track.js").GateState} GateState
 */

import { SilenceTimer } from "./level.js";
import { PushToTalk } from "./push-to-talk.js";

/** Microphones that are lost one after the other, without a sound from any of them. */
const MAX_REPLACEMENTS = 3;
const SILENT_MS = { hold: 2_500, hands_free: 20_000 };

export class Voice {
  #capabilities;
  #preferences;
  #report;
  #onPress;
  #onChange;
  #silence;

  /**
   * @param {object} parts
   * @param {import("./microphone.js").Microphone} parts.microphone
   * @param {import("./outgoing-track.js").OutgoingTrack} parts.outgoing
   * @param {(topic: string, payload: string) => Promise<unknown>} parts.publishData  publishes a data packet in the room
   * @param {{ hands_free: boolean, push_to_talk: import("./push-to-talk.js").Markers | null }} parts.capabilities
   * @param {{ recall: (name: string) => string, keep: (name: string, value: string) => void }} parts.preferences
   * @param {(data: { state: MicrophoneState, mode: Mode, gate: GateState }) => unknown} parts.report
   * @param {(isPressed: boolean) => void} parts.onPress
   * @param {() => void} parts.onChange
   */
  constructor({ microphone, outgoing, publishData, capabilities, preferences, report, onPress, onChange }) {
    this.microphone = microphone;
    this.outgoing = outgoing;
    this.pushToTalk = new PushToTalk({
      markers: capabilities.push_to_talk,
      publishData,
      onEnd: () => this.#applyMode(),
      onFailed: () => this.onUnheard(),
    });
    this.#capabilities = capabilities;
    this.#preferences = preferences;
    this.#report = report;
    this.#onPress = onPress;
    this.#onChange = onChange;
    /** @type {MicrophoneState} */
    this.state = "off";
    /** @type {GateState} */
    this.gate = "off";
    this.level = 0;
    this.replacements = 0; // since sound was heard
    /** @type {{ id: string, name: string }[]} */
    this.choices = [];
    this.#silence = new SilenceTimer(SILENT_MS[this.mode]);
    outgoing.onLost = () => this.#setGate("failed");
  }

  /** @returns {Mode} */
  get mode() {
    return this.pushToTalk.isMarked ? "hold" : this.chosenMode;
  }

  /** @returns {Mode} the mode that the user chose; a session with push-to-talk markers keeps to them */
  get chosenMode() {
    return this.#capabilities.hands_free && this.#preferences.recall("mode") === "hands_free" ? "hands_free" : "hold";
  }

  /** Whether hands-free mode sends speech only. Other sounds would interrupt the avatar and be answered. */
  get isSpeechOnly() {
    return this.#preferences.recall("gate") !== "off";
  }

  get isOpen() {
    return this.microphone.isOpen;
  }

  /** Whether the microphone's sound is to be sent. */
  get isSent() {
    return this.mode === "hands_free" || this.pushToTalk.isSending;
  }

  /** The microphone's button was pressed. */
  async toggle() {
    this.replacements = 0;
    if (this.isOpen || this.state === "asking") this.close();
    else await this.open();
  }

  /** @param {MicrophoneState} [opened]  the state once it is open */
  async open(opened = "on") {
    this.setState("asking");
    const outcome = await this.microphone.open(this.#preferences.recall("device"));
    if (outcome === "superseded") return;
    if (outcome !== "open") return this.setState(outcome);
    this.#silence = new SilenceTimer(SILENT_MS[this.mode]);
    this.#applyMode();
    if (!(await this.#publish())) return;
    this.setState(this.microphone.isInterrupted ? "interrupted" : opened);
    await this.listDevices();
  }

  /** Send the microphone as chosen. @returns {Promise<boolean>} false if it was closed meanwhile */
  async #publish() {
    const { stream } = this.microphone;
    if (!stream) return false;
    const gate = await this.outgoing.setStream(stream, this.mode === "hands_free" && this.isSpeechOnly);
    if (gate !== "superseded") this.gate = gate;
    return gate !== "superseded";
  }

  /** List the microphones again. */
  async listDevices() {
    this.choices = await this.microphone.choices();
    this.#onChange();
  }

  /** Stop recording: the user closed the microphone, or the session is over. */
  close() {
    this.release();
    this.pushToTalk.end();
    this.outgoing.end();
    this.microphone.close();
    this.level = 0;
    this.gate = "off";
    if (this.state !== "off") this.setState("off");
  }

  /** The session is over. @param {boolean} isContinued  in another one, which keeps the microphone open */
  leave(isContinued) {
    if (isContinued) this.release();
    else this.close();
    this.pushToTalk.forget();
  }

  /** The microphone was unplugged: another one takes over, if there is one. */
  async onDeviceLost() {
    this.release();
    this.pushToTalk.end();
    this.outgoing.end();
    this.microphone.close();
    this.level = 0;
    this.replacements += 1;
    if (this.replacements <= MAX_REPLACEMENTS) await this.open("replaced");
    else this.setState("absent");
  }

  /** @param {boolean} isInterrupted  by the device or system */
  onInterrupted(isInterrupted) {
    if (!this.isOpen) return;
    if (isInterrupted) this.setState("interrupted");
    else if (this.state === "interrupted") this.setState("on");
  }

  /** The user is back at the page. After a phone call, some browsers leave the microphone dead. */
  async onReturn() {
    if (this.isOpen && this.microphone.isInterrupted) await this.open();
  }

  /** The provider could not listen. */
  onUnheard() {
    if (this.isOpen) this.setState("unheard");
  }

  press() {
    if (this.mode !== "hold" || this.pushToTalk.isPressed || !this.isOpen) return;
    if (this.state === "unheard" || this.state === "replaced") this.setState("on");
    this.#silence.begin();
    this.pushToTalk.press();
    this.#applyMode();
    this.#onPress(true);
    this.#onChange();
  }

  release() {
    if (!this.pushToTalk.isPressed) return;
    this.pushToTalk.release();
    this.#onPress(false);
    this.#onChange();
  }

  /** @param {Mode} mode */
  setMode(mode) {
    this.release();
    this.pushToTalk.end();
    this.#preferences.keep("mode", mode);
    this.#silence = new SilenceTimer(SILENT_MS[this.mode]);
    void this.reapply();
  }

  /** @param {boolean} isSpeechOnly */
  setSpeechOnly(isSpeechOnly) {
    this.#preferences.keep("gate", isSpeechOnly ? "on" : "off");
    void this.reapply();
  }

  /** Apply the mode and filter that are chosen now. */
  async reapply() {
    this.#applyMode();
    this.#onChange();
    if (await this.#publish()) this.#setGate(this.gate);
  }

  /** @param {GateState} gate */
  #setGate(gate) {
    this.gate = gate;
    this.setState(this.state);
  }

  /** @param {string} deviceId */
  async selectDevice(deviceId) {
    this.#preferences.keep("device", deviceId);
    if (!this.isOpen) return;
    this.close();
    await this.open();
  }

  /**
   * @param {number} level
   * @param {number} now
   */
  onLevel(level, now) {
    if (!this.isOpen) return;
    this.level = level;
    if (level > 0) this.replacements = 0;
    const isSilent = this.#silence.isTooLong(level, this.pushToTalk.isPressed || this.mode === "hands_free", now);
    if (isSilent && (this.state === "on" || this.state === "replaced")) this.setState("silent");
    else if (level > 0 && this.state === "silent") this.setState("on");
    else this.#onChange();
  }

  #applyMode() {
    this.outgoing.send(this.isSent);
  }

  /** @param {MicrophoneState} state */
  setState(state) {
    this.state = state;
    if (state !== "asking") this.#report({ state, mode: this.mode, gate: this.gate });
    this.#onChange();
  }
}
