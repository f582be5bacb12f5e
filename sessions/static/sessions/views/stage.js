/** The video and what lies on it: poster, chip, progress, warning, and the buttons in the corner. */

import { countdown, secondsUntil } from "../lib/clock.js";
import { all, on, one, say, showOnly } from "../lib/dom.js";

/** @typedef {import("../conversation/conversation.js").Conversation} Conversation */

const PROGRESS = [15, 45, 75];

export class StageView {
  constructor() {
    this.video = one("#video", HTMLVideoElement);
    this.audio = one("#audio", HTMLAudioElement);
    this.setUpCorner();
  }

  /**
   * @param {Conversation} conversation
   * @param {import("../conversation/state.js").Screen} screen
   */
  draw(conversation, screen) {
    const { state } = conversation;
    document.body.toggleAttribute("data-picture", state.hasPicture);
    if (screen === "connecting") this.drawSteps(state);
    one("#power", HTMLElement).hidden = !state.isPictureHeld;
    if (screen === "ending" && state.warning) this.drawWarning(state.warning, conversation.now());
    showOnly("data-talk", state.isUserTalking ? "you" : state.isTalking ? "yes" : "no");
  }

  /** @param {import("../conversation/state.js").ConversationState} state */
  drawSteps({ step, isCancelled, isReleasing }) {
    one("#steps", HTMLElement).hidden = isCancelled || isReleasing;
    one("#releasing", HTMLElement).hidden = isCancelled || !isReleasing;
    one("#cancelling", HTMLElement).hidden = !isCancelled;
    one("#cancel", HTMLButtonElement).disabled = isCancelled;
    one("#progress", HTMLProgressElement).value = PROGRESS[step] ?? 100;
    for (const [index, item] of all("#steps > li").entries()) {
      item.classList.toggle("is-done", index < step);
      item.classList.toggle("is-now", index === step);
      if (index === step) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
  }

  /**
   * @param {import("../conversation/state.js").Warning} warning
   * @param {number} now  the portal's clock
   */
  drawWarning({ why, at }, now) {
    const left = secondsUntil(at, now);
    showOnly("data-why", why);
    say(one("#warning-left", HTMLElement), countdown(left));
    one("#warning-ring", SVGCircleElement).setAttribute("stroke-dashoffset", String(60 - Math.min(60, left)));
  }

  setUpCorner() {
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
