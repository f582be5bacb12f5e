/** The transcript. */

import { timeOfDay } from "../lib/clock.js";
import { all, one, say } from "../lib/dom.js";

/** @typedef {import("../conversation/transcript.js").Line} Line */

export class ChatView {
  /** @param {(ref: string) => void} onRetry */
  constructor(onRetry) {
    this.onRetry = onRetry;
    this.language = document.documentElement.lang;
    this.list = one("#lines", HTMLElement);
    this.leftOut = one("#left-out", HTMLElement);
    this.legend = one("#reported-legend", HTMLElement);
    /** @type {Map<string, { line: Line, element: HTMLElement }>} */
    this.drawn = new Map();
  }

  /** @param {Pick<import("../conversation/transcript.js").Transcript, "lines" | "fullUrl">} transcript */
  draw({ lines, fullUrl }) {
    this.leftOut.hidden = !fullUrl;
    if (fullUrl) one("a", HTMLAnchorElement, this.leftOut).href = fullUrl;
    this.legend.hidden = !lines.some((line) => line.isReported && line.stage === "said");
    const kept = new Set(lines.map((line) => line.key));
    for (const [key, { element }] of this.drawn) {
      if (kept.has(key)) continue;
      element.remove();
      this.drawn.delete(key);
    }
    for (const [index, line] of lines.entries()) {
      const element = this.drawLine(line);
      if (this.list.children[index] !== element) this.list.insertBefore(element, this.list.children[index] ?? null);
    }
  }

  /**
   * @param {Line} line
   * @returns {HTMLElement}
   */
  drawLine(line) {
    const known = this.drawn.get(line.key);
    if (known?.line === line) return known.element;
    const element = known?.element ?? this.newLine(line);
    this.drawn.set(line.key, { line, element });
    const isPending = line.stage === "waiting" || line.stage === "failed";
    element.classList.toggle("line--wait", isPending);
    element.classList.toggle("line--read", line.isRead);
    element.setAttribute("aria-busy", String(line.stage === "talking"));
    say(one("time", HTMLElement, element), isPending ? "" : timeOfDay(new Date(line.at).toISOString(), this.language));
    say(one(".line__text", HTMLElement, element), line.text);
    if (known?.line.sources !== line.sources) this.drawSources(element, line.sources);
    const marks = marksOf(line);
    for (const mark of all("[data-mark]", element)) {
      mark.hidden = !marks.includes(mark.dataset.mark ?? "");
      if (mark.dataset.mark === "why") say(mark, line.why);
    }
    return element;
  }

  /**
   * @param {HTMLElement} element
   * @param {Line["sources"]} sources
   */
  drawSources(element, sources) {
    const list = element.querySelector("[data-sources]");
    if (!(list instanceof HTMLElement)) return;
    list.hidden = sources.length === 0;
    list.replaceChildren(...sources.map((source) => this.newSource(source, list.dataset.page ?? "")));
  }

  /**
   * @param {Line["sources"][number]} source
   * @param {string} pageWords
   * @returns {Node}
   */
  newSource({ number, title, page, url }, pageWords) {
    const copy = document.importNode(one("#line-source", HTMLTemplateElement).content, true);
    const link = one("a", HTMLAnchorElement, copy);
    if (url) link.href = url;
    say(one("i", HTMLElement, copy), String(number));
    say(one("span", HTMLElement, copy), page ? `${title}, ${pageWords.replace("{page}", String(page))}` : title);
    return copy;
  }

  /**
   * @param {Line} line
   * @returns {HTMLElement}
   */
  newLine({ who, key }) {
    const copy = document.importNode(one(`#line-${who}`, HTMLTemplateElement).content, true);
    const element = one("li", HTMLElement, copy);
    // Each attempt has its own reference: use the line's latest.
    const retry = () => this.onRetry(this.drawn.get(key)?.line.ref ?? "");
    for (const button of all("button", element)) button.addEventListener("click", retry);
    return element;
  }
}

/**
 * @param {Line} line
 * @returns {string[]}
 */
function marksOf(line) {
  const reported = line.isReported && line.stage === "said" ? ["reported"] : [];
  if (line.who === "avatar")
    return line.isInterrupted ? ["interrupted", ...reported] : line.stage === "talking" ? ["talking"] : reported;
  if (line.stage === "waiting") return ["waiting"];
  if (line.stage === "failed") return ["failed", ...(line.why ? ["why"] : [])];
  const undelivered = line.isDelivered === false ? ["undelivered"] : [];
  const unanswered = line.why ? ["why"] : [];
  return [line.isRead ? "read" : line.by, ...reported, ...undelivered, ...unanswered];
}
