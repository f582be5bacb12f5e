/** What the persona's tools offer: what the model is doing, a person, and the form for a message to the team. */

import { on, one, say } from "../lib/dom.js";

/** Tools that open the form. */
const OPENING = ["ask_for_person", "leave_message"];
/** Messages whose errors belong into the form. */
const OWN = ["person.ask", "message.leave"];

export class ContactView {
  #send;
  #box = document.querySelector("#contact");

  /** @param {(message: { type: string, [key: string]: string }) => void} send */
  constructor(send) {
    this.#send = send;
    on("#ask-person", "click", () => {
      this.#send({ type: "person.ask" });
      this.#open(true);
    });
    on("#message-cancel", "click", () => this.#close());
    on("#message-form", "submit", (event) => {
      event.preventDefault();
      const contact = one("#message-contact", HTMLInputElement).value;
      const text = one("#message-text", HTMLTextAreaElement).value;
      say(one("#message-error", HTMLElement), "");
      this.#send({ type: "message.leave", contact, text });
    });
  }

  /**
   * @param {any} message  of the portal
   * @returns {boolean} whether it concerns nothing else on the page
   */
  takes(message) {
    if (!this.#box) return false;
    if (message.type === "answer.tool") {
      this.#state("#tool-state", message.tool);
      if (OPENING.includes(message.tool)) this.#open(false);
    } else if (message.type === "answer.sentence" || message.type === "answer.ended") {
      this.#state("#tool-state", "");
    } else if (message.type === "person.asked") {
      this.#state("#contact-state", message.is_told ? "asked" : "unheard");
    } else if (message.type === "message.left") {
      one("#message-text", HTMLTextAreaElement).value = "";
      this.#close();
      this.#state("#contact-state", message.is_mailed ? "mailed" : "kept");
    } else if (message.type === "error" && OWN.includes(message.about)) {
      this.#open(false);
      say(one("#message-error", HTMLElement), message.words);
      return true;
    }
    return false;
  }

  /**
   * @param {string} selector
   * @param {string} code
   */
  #state(selector, code) {
    const element = one(selector, HTMLElement);
    say(element, element.dataset[code] ?? "");
  }

  /** @param {boolean} isAsked  by the user, who is led to the form */
  #open(isAsked) {
    one("#message-form", HTMLElement).hidden = false;
    if (isAsked) one("#message-contact", HTMLInputElement).focus();
  }

  #close() {
    one("#message-form", HTMLElement).hidden = true;
    one("#text", HTMLElement).focus();
  }
}
