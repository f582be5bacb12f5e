/** The dock's microphone: its button with the level, the button to hold, and the panel to choose and to mend. */

import { all, one, say, showOnly } from "../lib/dom.js";

/** @typedef {import("../voice/voice.js").Voice} Voice */

/** States that need words, and so open the panel. */
const TROUBLES = new Set(["refused", "absent", "busy", "insecure", "silent", "unheard"]);
/** Where the space bar has a meaning of its own. */
const TAKES_SPACE = "button, a, input, select, textarea, summary, [contenteditable]";

export class VoiceView {
  /**
   * @param {Voice} voice
   * @param {boolean} isEnabled  whether the persona hears at all
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
    this.devices.addEventListener("change", () => void this.voice.use(this.devices.value));
    for (const radio of all("input[name=voice-mode]", this.panel)) {
      radio.addEventListener("change", () => {
        const { value } = /** @type {HTMLInputElement} */ (radio);
        this.voice.choose(value === "hands_free" ? "hands_free" : "hold");
      });
    }
    this.gate.addEventListener("change", () => this.voice.filter(this.gate.checked));
    this.panel.addEventListener("toggle", () => this.leadToHolding());
    this.setUpHolding();
  }

  /** Whoever has just turned the microphone on is going to hold the space bar, which would turn it off again here. */
  leadToHolding() {
    const isHere = document.activeElement === this.mic || document.activeElement?.id === "mic-more";
    if (isHere && this.voice.isOpen && this.voice.mode === "hold") this.hold.focus();
  }

  setUpHolding() {
    const { voice, hold } = this;
    hold.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (!voice.isOpen) return void voice.toggle(); // once it is allowed, the next press is heard
      hold.setPointerCapture(event.pointerId);
      voice.press();
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      hold.addEventListener(end, () => voice.release());
    // Without a pointer there is nothing to hold: a screen reader's press begins, and the next one ends.
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
      event.preventDefault(); // a button would take it for a click
      voice.release();
    });
    window.addEventListener("blur", () => voice.release());
    document.addEventListener("visibilitychange", () => document.hidden && voice.release());
  }

  /**
   * Whether the space bar is free to be held: no message begins with a space.
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
      choice.checked = choice.value === voice.wish;
    }
    one("#mode-later", HTMLElement).hidden = voice.wish === voice.mode;
    this.gate.checked = voice.isSpeechOnly;
    one("#gate", HTMLElement).hidden = voice.mode !== "hands_free";
    one("#gate-failed", HTMLElement).hidden = voice.gate !== "failed";
    this.drawDevices();
    if (voice.state === this.state) return;
    this.state = voice.state;
    if (TROUBLES.has(voice.state)) this.panel.showPopover();
    this.leadToHolding();
  }

  drawDevices() {
    const offered = JSON.stringify([this.voice.choices, this.voice.microphone.deviceId]);
    if (offered === this.offered) return;
    this.offered = offered;
    const options = this.voice.choices.map(({ id, name }, place) => {
      const option = new Option(undefined, id, false, id === this.voice.microphone.deviceId);
      say(option, name || String(place + 1));
      return option;
    });
    this.devices.replaceChildren(...options);
    one("#mic-devices", HTMLElement).hidden = options.length === 0;
  }
}
