/** The microphone in the dock: its button and level, the push-to-talk button, and the settings panel. */

import { all, one, say, showOnly } from "../lib/dom.js";

/** @typedef {import("../voice/voice.js").Voice} Voice */

/** States that need an explanation, so they open the panel. */
const TROUBLES = new Set(["refused", "absent", "busy", "insecure", "silent", "unheard", "replaced", "interrupted"]);
/** Elements in which the space bar has its own meaning. */
const TAKES_SPACE = "button, a, input, select, textarea, summary, [contenteditable]";

export class VoiceView {
  /**
   * @param {Voice} voice
   * @param {boolean} isEnabled  whether the persona takes speech
   */
  constructor(voice, isEnabled) {
    this.voice = voice;
    this.isEnabled = isEnabled;
    this.dock = one("#voice-dock", HTMLElement);
    this.mic = one("#mic", HTMLButtonElement);
    this.hold = one("#hold", HTMLButtonElement);
    this.panel = one("#mic-panel", HTMLElement);
    this.devices = one("#mic-device", HTMLSelectElement);
    this.gate = one("#speech-only", HTMLInputElement);
    this.levels = all(".level", this.dock);
    this.state = "";
    this.offered = "";
    this.setUp();
    this.draw();
  }

  setUp() {
    this.mic.addEventListener("click", () => {
      if (this.isEnabled) void this.voice.toggle();
      else this.panel.showPopover();
    });
    if (!this.isEnabled) return;
    this.devices.addEventListener("change", () => void this.voice.selectDevice(this.devices.value));
    for (const radio of all("input[name=voice-mode]", this.panel)) {
      radio.addEventListener("change", () => {
        const { value } = /** @type {HTMLInputElement} */ (radio);
        this.voice.setMode(value === "hands_free" ? "hands_free" : "hold");
      });
    }
    this.gate.addEventListener("change", () => this.voice.setSpeechOnly(this.gate.checked));
    this.panel.addEventListener("toggle", () => this.focusPushToTalk());
    this.setUpPushToTalk();
  }

  /** Move the focus from the microphone's button, where holding the space bar would close the microphone again. */
  focusPushToTalk() {
    const isHere = document.activeElement === this.mic || document.activeElement?.id === "mic-more";
    if (isHere && this.voice.isOpen && this.voice.mode === "hold") this.hold.focus();
  }

  setUpPushToTalk() {
    const { voice, hold } = this;
    hold.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (!voice.isOpen) return void voice.toggle(); // the next press is sent
      hold.setPointerCapture(event.pointerId);
      voice.press();
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      hold.addEventListener(end, () => voice.release());
    // A screen reader cannot hold a button: one press begins, the next one ends.
    hold.addEventListener("click", ({ detail }) => {
      if (detail !== 0) return;
      if (!voice.isOpen) void voice.toggle();
      else if (voice.pushToTalk.isPressed) voice.release();
      else voice.press();
    });
    document.addEventListener("keydown", (event) => {
      if (
        event.code !== "Space" ||
        event.isComposing ||
        !voice.isOpen ||
        voice.mode !== "hold" ||
        !this.isFree(event.target)
      )
        return;
      event.preventDefault();
      if (!event.repeat) voice.press();
    });
    document.addEventListener("keyup", (event) => {
      if (event.code !== "Space" || !voice.pushToTalk.isPressed) return;
      event.preventDefault(); // it would click a focused button
      voice.release();
    });
    window.addEventListener("blur", () => voice.release());
    document.addEventListener("visibilitychange", () => document.hidden && voice.release());
  }

  /**
   * Whether the space bar may be used for push-to-talk. No message begins with a space.
   *
   * @param {EventTarget | null} target
   */
  isFree(target) {
    if (target === this.hold) return true;
    if (target instanceof HTMLTextAreaElement) return target.value === "";
    return target instanceof Element && !target.closest(TAKES_SPACE);
  }

  draw() {
    showOnly("data-mic", this.isEnabled ? this.voice.state : "disabled", this.dock);
    if (!this.isEnabled) return;
    const { voice, hold } = this;
    for (const level of this.levels) {
      level.dataset.level = String(voice.isOpen ? voice.level : 0);
      level.classList.toggle("is-kept", voice.isOpen && !voice.outgoing.isThrough);
    }
    this.mic.setAttribute("aria-pressed", String(voice.isOpen));
    hold.hidden = voice.mode !== "hold";
    hold.setAttribute("aria-pressed", String(voice.pushToTalk.isPressed));
    showOnly("data-held", voice.pushToTalk.isPressed ? "yes" : "no", hold);
    for (const radio of all("input[name=voice-mode]", this.panel)) {
      const choice = /** @type {HTMLInputElement} */ (radio);
      choice.checked = choice.value === voice.chosenMode;
    }
    one("#mode-later", HTMLElement).hidden = voice.chosenMode === voice.mode;
    this.gate.checked = voice.isSpeechOnly;
    one("#gate", HTMLElement).hidden = voice.mode !== "hands_free";
    one("#gate-failed", HTMLElement).hidden = voice.gate !== "failed";
    this.drawDevices();
    if (voice.state === this.state) return;
    this.state = voice.state;
    if (TROUBLES.has(voice.state)) this.panel.showPopover();
    this.focusPushToTalk();
  }

  drawDevices() {
    const offered = JSON.stringify([this.voice.choices, this.voice.microphone.deviceId]);
    if (offered === this.offered) return;
    this.offered = offered;
    const options = this.voice.choices.map(({ id, name }, index) => {
      const option = new Option(undefined, id, false, id === this.voice.microphone.deviceId);
      say(option, name || String(index + 1));
      return option;
    });
    this.devices.replaceChildren(...options);
    one("#mic-devices", HTMLElement).hidden = options.length === 0;
  }
}
