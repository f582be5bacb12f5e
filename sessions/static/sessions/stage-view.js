/** The picture and what lies on it: poster, chip, captions, steps, warning, the three buttons in the corner. */

import { countdown, secondsUntil } from "./clock.js";
import { all, on, one, say, showOnly } from "./dom.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */

const PROGRESS = [15, 45, 75];
/** A caption stays until it has been read, not only until it has been said. */
const CAPTION_LINGERS_MS = 2_000;

export class StageView {
  constructor() {
    this.video = one("#video", HTMLVideoElement);
    this.audio = one("#audio", HTMLAudioElement);
    this.caption = one("#caption", HTMLElement);
    this.captionSwitch = one("#captions-switch", HTMLButtonElement);
    this.lingering = 0;
    this.setUpCorner();
  }

  /**
   * @param {Conversation} it
   * @param {import("./state.js").Face} face
   */
  draw(it, face) {
    const { state } = it;
    document.body.toggleAttribute("data-picture", state.hasPicture);
    if (face === "connecting") this.drawSteps(state);
    if (face === "ending" && state.warning) this.drawWarning(state.warning, it);
    showOnly("data-talk", state.isTalking ? "yes" : "no");
    this.drawCaption(it.caption);
  }

  /** @param {import("./state.js").RoomState} state */
  drawSteps({ step, isCancelled, isReleasing }) {
    one("#steps", HTMLElement).hidden = isCancelled || isReleasing;
    one("#releasing", HTMLElement).hidden = isCancelled || !isReleasing;
    one("#cancelling", HTMLElement).hidden = !isCancelled;
    one("#cancel", HTMLButtonElement).disabled = isCancelled;
    one("#progress", HTMLProgressElement).value = PROGRESS[step] ?? 100;
    for (const [place, item] of all("#steps > li").entries()) {
      item.classList.toggle("is-done", place < step);
      item.classList.toggle("is-now", place === step);
      if (place === step) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
  }

  /**
   * @param {import("./state.js").Warning} warning
   * @param {Conversation} it
   */
  drawWarning({ why, at }, it) {
    const left = secondsUntil(at, it.clock(), it.offset);
    showOnly("data-why", why);
    say(one("#warning-left", HTMLElement), countdown(left));
    one("#warning-ring", SVGCircleElement).setAttribute("stroke-dashoffset", String(60 - Math.min(60, left)));
  }

  /** @param {string} text */
  drawCaption(text) {
    if (!this.isCaptioned()) this.caption.hidden = true;
    else if (text) {
      clearTimeout(this.lingering);
      this.lingering = 0;
      this.caption.hidden = false;
      say(this.caption, text);
    } else if (!this.caption.hidden && !this.lingering) {
      this.lingering = window.setTimeout(() => {
        this.caption.hidden = true;
        this.lingering = 0;
      }, CAPTION_LINGERS_MS);
    }
  }

  isCaptioned() {
    return this.captionSwitch.getAttribute("aria-pressed") === "true";
  }

  setUpCorner() {
    this.captionSwitch.addEventListener("click", () => {
      this.captionSwitch.setAttribute("aria-pressed", String(!this.isCaptioned()));
      this.caption.hidden = true;
    });
    one("#full-screen", HTMLButtonElement).hidden = !document.fullscreenEnabled;
    one("#pip", HTMLButtonElement).hidden = !document.pictureInPictureEnabled;
    on("#full-screen", "click", () => {
      if (document.fullscreenElement) void document.exitFullscreen();
      else void one("#picture", HTMLElement).requestFullscreen();
    });
    on("#pip", "click", () => {
      if (document.pictureInPictureElement) void document.exitPictureInPicture();
      else this.video.requestPictureInPicture().catch(() => {}); // refused until there is a picture
    });
  }
}
