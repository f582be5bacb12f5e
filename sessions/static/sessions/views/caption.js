/** The caption on the video, redrawn while the avatar speaks. */

import { one, say } from "../lib/dom.js";
import { SoundMeter } from "../voice/sound-meter.js";

/** @typedef {import("../conversation/conversation.js").Conversation} Conversation */

const TICK_MS = 100;
/** A caption stays this long after its last word, to be read. */
const LINGER_MS = 2_000;
/** Shorter gaps are between words, not pauses. */
const PAUSE_MS = 250;

export class CaptionView {
  /**
   * @param {Conversation} conversation
   * @param {HTMLAudioElement} audio
   */
  constructor(conversation, audio) {
    this.conversation = conversation;
    this.audio = audio;
    this.element = one("#caption", HTMLElement);
    this.spoken = one(".said", HTMLElement, this.element);
    this.next = one(".next", HTMLElement, this.element);
    this.switch = one("#captions-switch", HTMLButtonElement);
    /** @type {number | null} */
    this.soundAt = null; // when speech was last audible; null while it is not measured
    this.lingering = 0;
    this.meter = new SoundMeter((level, now) => {
      if (level > 0) this.soundAt = now;
    });
    this.switch.addEventListener("click", () => {
      this.switch.setAttribute("aria-pressed", String(!this.isOn));
      this.element.hidden = true;
      this.draw();
    });
    setInterval(() => this.tick(), TICK_MS);
  }

  get isOn() {
    return this.switch.getAttribute("aria-pressed") === "true";
  }

  tick() {
    const { captions, clock } = this.conversation;
    // Measuring takes processor time, and helps only if words are known before they are spoken.
    this.listen(captions.isSpeaking && (captions.isAhead || this.meter.stream !== null));
    if (!captions.isSpeaking) return;
    const isSounding = this.soundAt === null ? null : performance.now() - this.soundAt < PAUSE_MS;
    captions.advance(clock(), isSounding);
    this.draw();
  }

  /**
   * Measure the speech to find its pauses.
   *
   * @param {boolean} isWanted
   */
  listen(isWanted) {
    const stream = isWanted && this.audio.srcObject instanceof MediaStream ? this.audio.srcObject : null;
    if (stream === this.meter.stream) return;
    this.soundAt = null;
    this.meter.listen(stream);
  }

  draw() {
    const { spoken, next } = this.conversation.captions.caption;
    const text = this.conversation.captions.isOver ? "" : spoken;
    if (!this.isOn) this.element.hidden = true;
    else if (text) {
      clearTimeout(this.lingering);
      this.lingering = 0;
      this.element.hidden = false;
      say(this.spoken, spoken);
      say(this.next, next && ` ${next}`);
    } else if (!this.element.hidden && !this.lingering) {
      // The end of a line also completes its last words.
      if (spoken) say(this.spoken, spoken);
      say(this.next, "");
      this.lingering = window.setTimeout(() => {
        this.element.hidden = true;
        this.lingering = 0;
      }, LINGER_MS);
    }
  }
}
