/**
 * The lines of the conversation, merged from three sources: what was typed here, what the avatar says in fragments in
 * the room, and what the portal has stored. The provider's task ID connects them. A line that changes is a new object,
 * so that views can compare.
 *
 * @typedef {{ number: number, title: string, page: number | null, url: string }} Source  of an answer
 *
 * @typedef {object} Line
 * @property {string} key  never changes
 * @property {"avatar" | "user"} who
 * @property {"voice" | "text"} by
 * @property {string} text
 * @property {number} at  the portal's clock, milliseconds since 1970
 * @property {"said" | "talking" | import("./outbox.js").Delivery} stage
 * @property {boolean} isRead  the avatar is to say it verbatim
 * @property {boolean} isInterrupted
 * @property {boolean} isReported  by a browser only
 * @property {boolean} isDelivered  false for a typed text that the provider did not accept
 * @property {string} taskId
 * @property {string} answerTo  reference of the text that this sentence answers, if a model of the organisation does
 * @property {Source[]} sources  that it cites
 * @property {string} utteranceId
 * @property {string} ref
 * @property {string} why
 */

const PARTS_KEPT = 40;

export class Transcript {
  #count = 0;
  /** @type {Map<string, { answerTo: string, sources: Source[] }>} by task ID, of sentences that are not spoken yet */
  #sentences = new Map();

  /** @type {{ text: string, answerTo: string, sources: Source[] }[]} sentences of answers to speech, not yet in a line */
  #parts = [];

  constructor() {
    /** @type {Line[]} */
    this.lines = [];
    this.fullUrl = ""; // page with all lines, if older ones are left out here
  }

  /**
   * Add a line typed here, or update its delivery.
   *
   * @param {import("./outbox.js").Item} item
   * @param {number} at
   */
  written(item, at) {
    const change = { stage: item.delivery, why: item.why, at };
    const line = this.lines.find((other) => other.ref === item.ref);
    if (line) this.#change(line, change);
    else
      this.#append({
        who: "user",
        by: "text",
        text: item.text,
        isRead: item.kind === "repeat",
        isReported: false,
        ref: item.ref,
        ...change,
      });
  }

  /**
   * A failed line is sent again with a new reference.
   *
   * @param {string} ref  the old reference
   * @param {import("./outbox.js").Item} item
   * @param {number} at
   */
  retried(ref, item, at) {
    const line = this.lines.find((other) => other.ref === ref);
    if (line) this.#change(line, { ref: item.ref, utteranceId: "" });
    this.written(item, at);
  }

  /**
   * The provider has accepted a typed line.
   *
   * @param {{ ref: string, taskId: string, at: number }} task
   */
  sent({ ref, taskId, at }) {
    const line = this.lines.find((other) => other.ref === ref);
    if (line) this.#change(line, { stage: "said", why: "", taskId, at });
  }

  /**
   * The provider has accepted a sentence of an answer. It may be spoken already.
   *
   * @param {string} taskId  empty in an answer to speech, which the provider says as one line
   * @param {string} answerTo
   * @param {Source[]} sources
   * @param {string} text
   */
  sentence(taskId, answerTo, sources, text) {
    if (!taskId) {
      this.#parts = [...this.#parts, { text: words(text), answerTo, sources }].slice(-PARTS_KEPT);
      for (const line of this.lines) if (line.who === "avatar") this.#addSources(line);
      return;
    }
    const line = this.ofAvatar(taskId);
    if (line) this.#change(line, { answerTo, sources });
    else this.#sentences.set(taskId, { answerTo, sources });
  }

  /**
   * The answer to a typed line has ended.
   *
   * @param {string} ref
   * @param {string} why  it failed; empty if it did not
   */
  unanswered(ref, why) {
    const line = this.lines.find((other) => other.ref === ref);
    if (line && why) this.#change(line, { why });
  }

  /**
   * Append a fragment of what the avatar is saying.
   *
   * @param {string} taskId
   * @param {string} fragment
   * @param {number} at
   */
  spoken(taskId, fragment, at) {
    const line = this.ofAvatar(taskId);
    // The whole line is known: this fragment is late or repeated.
    if (line && line.stage !== "talking") return;
    if (line) this.#change(line, { text: line.text + fragment });
    else this.#append({ who: "avatar", by: "voice", text: fragment, at, stage: "talking", taskId });
  }

  /**
   * The avatar has finished a line.
   *
   * @param {string} taskId
   * @param {string} whole  empty if the provider sends fragments only
   * @returns {Line | undefined} the finished line; undefined if nothing was said, or it was finished before
   */
  finished(taskId, whole) {
    const line = this.ofAvatar(taskId);
    if (line?.stage !== "talking") return undefined;
    return this.#change(line, { stage: "said", text: whole || line.text.trim() });
  }

  /**
   * Mark what the avatar is saying as interrupted.
   *
   * @param {string} [taskId]  all unfinished lines if omitted
   */
  interrupted(taskId) {
    for (const line of this.lines) {
      const isMeant = line.stage === "talking" && (taskId === undefined || line.taskId === taskId);
      if (isMeant) this.#change(line, { isInterrupted: true });
    }
  }

  /**
   * Add or correct a line from the portal's record.
   *
   * @param {{ utteranceId: string, who: "avatar" | "user", by: "voice" | "text", text: string, at: number,
   *   isRead: boolean, isInterrupted: boolean, isReported: boolean, isDelivered: boolean, taskId: string,
   *   answerTo?: string, sources?: Source[] }} stored
   */
  stored(stored) {
    const line = this.lines.find((other) => isSame(other, stored));
    if (!line) this.#add(stored);
    else if (line.ref)
      this.#change(line, { utteranceId: stored.utteranceId }); // the portal stores it before sending it
    else this.#change(line, { ...stored, at: line.at, stage: "said" });
  }

  /** Begin a new conversation; keep what has not been sent. */
  clear() {
    this.lines = this.lines.filter((line) => line.stage === "waiting" || line.stage === "failed");
    this.fullUrl = "";
  }

  /** The lines that the avatar has not finished. */
  talking() {
    return this.lines.filter(({ stage }) => stage === "talking");
  }

  /** Number of lines that were said. */
  get lineCount() {
    return this.lines.filter((line) => line.stage === "said" || line.stage === "talking").length;
  }

  /**
   * The portal sends only the newest lines.
   *
   * @param {string} url  of the page with all lines
   */
  olderLinesOmitted(url) {
    this.fullUrl = url;
  }

  /** @param {string} taskId */
  ofAvatar(taskId) {
    // A provider that names no task says one line at a time.
    return this.lines.findLast(
      (line) => line.who === "avatar" && line.taskId === taskId && (taskId || line.stage === "talking"),
    );
  }

  /**
   * Add a line at the end, even if the two clocks differ a little.
   *
   * @param {Partial<Line> & { at: number }} line
   */
  #append(line) {
    this.#add({ ...line, at: Math.max(line.at, this.lines.at(-1)?.at ?? 0) });
  }

  /** @param {Partial<Line>} line */
  #add(line) {
    this.#count += 1;
    const sentence = line.who === "avatar" ? this.#sentences.get(line.taskId ?? "") : undefined;
    this.#sentences.delete(line.taskId ?? "");
    const whole = { ...BLANK, ...line, ...sentence, key: String(this.#count) };
    let index = this.lines.length;
    while (index > 0 && /** @type {Line} */ (this.lines[index - 1]).at > whole.at) index -= 1;
    this.lines = this.lines.toSpliced(index, 0, whole);
    this.#addSources(whole);
  }

  /**
   * @param {Line} line
   * @param {Partial<Line>} change
   * @returns {Line}
   */
  #change(line, change) {
    const changed = { ...line, ...change };
    this.lines = this.lines.map((other) => (other === line ? changed : other));
    return line.text === changed.text ? changed : this.#addSources(changed);
  }

  /**
   * Add what the sentences in a line cite.
   *
   * @param {Line} line
   * @returns {Line}
   */
  #addSources(line) {
    if (line.who !== "avatar" || !this.#parts.length) return line;
    const spoken = words(line.text);
    const found = this.#parts.filter(({ text }) => spoken.includes(text));
    const [first] = found;
    if (!first) return line;
    this.#parts = this.#parts.filter((part) => !found.includes(part));
    const all = [...line.sources, ...found.flatMap(({ sources }) => sources)];
    const sources = [...new Map(all.map((source) => [source.number, source])).values()];
    return this.#change(line, { answerTo: first.answerTo, sources });
  }
}

/** @param {string} text */
function words(text) {
  const found = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return found.join(" ");
}

/** @type {Line} */
const BLANK = {
  key: "",
  who: "avatar",
  by: "voice",
  text: "",
  at: 0,
  stage: "said",
  isRead: false,
  isInterrupted: false,
  isReported: true,
  isDelivered: true,
  taskId: "",
  answerTo: "",
  sources: [],
  utteranceId: "",
  ref: "",
  why: "",
};

/**
 * @param {Line} line
 * @param {{ utteranceId: string, who: string, by: string, text: string, taskId: string }} stored
 */
function isSame(line, stored) {
  if (line.utteranceId) return line.utteranceId === stored.utteranceId;
  if (line.who !== stored.who) return false;
  // A typed line is stored before its task is known: compare the text.
  if (line.ref) return stored.by === "text" && line.stage !== "waiting" && line.text === stored.text;
  return line.taskId !== "" && line.taskId === stored.taskId;
}
