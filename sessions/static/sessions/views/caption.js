/** The caption on the picture, drawn as often as words are spoken while there is something to say. */

import { one, say } from "../lib/dom.js";
import { SoundMeter } from "../voice/sound-meter.js";

/** @typedef {import("../conversation/conversation.js").Conversation} Conversation */

const EVERY_MS = 100;
/** A caption stays until it has been read, not only until it has been said. */
const LINGERS_MS = 2_000;
/** The pause between two words is none. */
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
    this.said = one(".said", HTMLElement, this.element);
    this.next = one(".next", HTMLElement, this.element);
    this.switch = one("#captions-switch", HTMLButtonElement);
    /** @type {number | null} */
    this.soundAt = null; // when the voice was last heard; null while nobody can tell
    this.lingering = 0;
    this.meter = new SoundMeter((level, now) => {
      if (level > 0) this.soundAt = now;
    });
    this.switch.addEventListener("click", () => {
      this.switch.setAttribute("aria-pressed", String(!this.isOn));
      this.element.hidden = true;
      this.draw();
    });
    setInterval(() => this.tick(), EVERY_MS);
  }

  get isOn() {
    return this.switch.getAttribute("aria-pressed") === "true";
  }

  tick() {
    const { captions, clock } = this.conversation;
    // Listening costs: it is only of use where words are known before they are spoken.
    this.listen(captions.isSpeaking && (captions.isAhead || this.meter.stream !== null));
    if (!captions.isSpeaking) return;
    const isSounding = this.soundAt === null ? null : performance.now() - this.soundAt < PAUSE_MS;
    captions.advance(clock(), isSounding);
    this.draw();
  }

  /**
   * The voice itself tells where it pauses.
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
    const { said, next } = this.conversation.captions.caption;
    const text = this.conversation.captions.isOver ? "" : said;
    if (!this.isOn) this.element.hidden = true;
    else if (text) {
      clearTimeout(this.lingering);
      this.lingering = 0;
      this.element.hidden = false;
      say(this.said, said);
      say(this.next, next && ` ${next}`);
    } else if (!this.element.hidden && !this.lingering) {
      // The last words of a line are said with its end.
      if (said) say(this.said, said);
      say(this.next, "");
      this.lingering = window.setTimeout(() => {
        this.element.hidden = true;
        this.lingering = 0;
      }, LINGERS_MS);
    }
  }
}
