/** The choice of the loudspeaker, in the panel of the microphone. */

import { one, say } from "../lib/dom.js";

export class LoudspeakerView {
  #loudspeaker;
  #part = one("#loudspeaker", HTMLElement);
  #devices = one("#loudspeaker-device", HTMLSelectElement);
  #button = one("#loudspeaker-ask", HTMLButtonElement);
  #offered = "";

  /** @param {import("../voice/loudspeaker.js").Loudspeaker} loudspeaker */
  constructor(loudspeaker) {
    this.#loudspeaker = loudspeaker;
    this.#devices.addEventListener("change", () => void loudspeaker.choose(this.#devices.value));
    this.#button.addEventListener("click", () => void loudspeaker.ask());
    this.draw();
  }

  draw() {
    const { choices, chosen, asksBrowser, isReplaced } = this.#loudspeaker;
    const isChoice = choices.length > 1;
    this.#part.hidden = !isChoice && !asksBrowser;
    one("#loudspeaker-list", HTMLElement).hidden = !isChoice;
    this.#button.hidden = isChoice || !asksBrowser;
    one("#loudspeaker-replaced", HTMLElement).hidden = !isReplaced;
    const offered = JSON.stringify([choices, chosen]);
    if (offered === this.#offered) return;
    this.#offered = offered;
    const options = choices.map(({ id, name }, index) => {
      const isChosen = id === (chosen || "default");
      const option = new Option(undefined, id, isChosen, isChosen);
      say(option, name || String(index + 1));
      return option;
    });
    this.#devices.replaceChildren(...options);
  }
}
