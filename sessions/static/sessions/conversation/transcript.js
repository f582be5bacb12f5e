/**
 * The lines of the conversation, brought together from three sides: what was typed here, what the avatar says
 * piece by piece in the room, and what the portal has stored. The provider's task ties them together.
 * A line that changes is a new object, so that whoever draws them can compare.
 *
 * @typedef {object} Line
 * @property {string} key  stays the same while the line lives
 * @property {"avatar" | "user"} who
 * @property {"voice" | "text"} by
 * @property {string} text
 * @property {number} at  milliseconds since 1970, the portal's clock
 * @property {"said" | "talking" | import("./outbox.js").Delivery} stage
 * @property {boolean} isRead  to be read aloud, word for word
 * @property {boolean} isInterrupted
 * @property {boolean} isReported  only a browser says so
 * @property {string} taskId
 * @property {string} utteranceId
 * @property {string} ref
 * @property {string} why
 */

export class Transcript {
  constructor() {
    /** @type {Line[]} */
    this.lines = [];
    this.count = 0;
    this.fullUrl = ""; // page with all lines, if older ones are left out here
  }

  /**
   * A line typed here, or what became of it.
   *
   * @param {import("./outbox.js").Item} item
   * @param {number} at
   */
  written(item, at) {
    const change = { stage: item.delivery, why: item.why, at };
    const line = this.lines.find((other) => other.ref === item.ref);
    if (line) this.change(line, change);
    else
      this.append({
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
   * A line that failed is tried again, under a new mark.
   *
   * @param {string} ref  the old one
   * @param {import("./outbox.js").Item} item
   * @param {number} at
   */
  retried(ref, item, at) {
    const line = this.lines.find((other) => other.ref === ref);
    if (line) this.change(line, { ref: item.ref, utteranceId: "" });
    this.written(item, at);
  }

  /**
   * The portal says that a typed line is with the provider.
   *
   * @param {{ ref: string, taskId: string, at: number }} task
   */
  sent({ ref, taskId, at }) {
    const line = this.lines.find((other) => other.ref === ref);
    if (line) this.change(line, { stage: "said", why: "", taskId, at });
  }

  /**
   * A piece of what the avatar is saying.
   *
   * @param {string} taskId
   * @param {string} piece
   * @param {number} at
   */
  spoken(taskId, piece, at) {
    const line = this.ofAvatar(taskId);
    // The whole line is known already: this piece came late or twice.
    if (line && line.stage !== "talking") return;
    if (line) this.change(line, { text: line.text + piece });
    else this.append({ who: "avatar", by: "voice", text: piece, at, stage: "talking", taskId });
  }

  /**
   * The avatar has finished a line.
   *
   * @param {string} taskId
   * @param {string} whole  empty where the provider does not repeat it
   * @returns {Line | undefined} the line as it stands now; undefined when nothing was said, or it was over already
   */
  finished(taskId, whole) {
    const line = this.ofAvatar(taskId);
    if (line?.stage !== "talking") return undefined;
    return this.change(line, { stage: "said", text: whole || line.text.trim() });
  }

  /**
   * What is being said is being cut off.
   *
   * @param {string} [taskId]  all that is being said without one
   */
  interrupted(taskId) {
    for (const line of this.lines) {
      const isMeant = line.stage === "talking" && (taskId === undefined || line.taskId === taskId);
      if (isMeant) this.change(line, { isInterrupted: true });
    }
  }

  /**
   * A line as the portal stored it; the last word on what was said.
   *
   * @param {{ utteranceId: string, who: "avatar" | "user", by: "voice" | "text", text: string, at: number,
   *   isRead: boolean, isInterrupted: boolean, isReported: boolean, taskId: string }} said
   */
  stored(said) {
    const line = this.lines.find((other) => isSame(other, said));
    if (!line) this.add(said);
    else if (line.ref)
      this.change(line, { utteranceId: said.utteranceId }); // stored before it is sent: not said yet
    else this.change(line, { ...said, at: line.at, stage: "said" });
  }

  /** A new conversation: what has not been sent yet stays. */
  clear() {
    this.lines = this.lines.filter((line) => line.stage === "waiting" || line.stage === "failed");
    this.fullUrl = "";
  }

  /** The lines that the avatar has not finished. */
  talking() {
    return this.lines.filter(({ stage }) => stage === "talking");
  }

  /** How many lines were said. */
  get saidCount() {
    return this.lines.filter((line) => line.stage === "said" || line.stage === "talking").length;
  }

  /**
   * The portal sends only the newest lines.
   *
   * @param {string} url  of the page with all lines
   */
  leftOut(url) {
    this.fullUrl = url;
  }

  /** @param {string} taskId */
  ofAvatar(taskId) {
    // A provider that names no task can only be saying one thing at a time.
    return this.lines.findLast(
      (line) => line.who === "avatar" && line.taskId === taskId && (taskId || line.stage === "talking"),
    );
  }

  /**
   * What happens now comes last, even where the two clocks disagree a little.
   *
   * @param {Partial<Line> & { at: number }} line
   */
  append(line) {
    this.add({ ...line, at: Math.max(line.at, this.lines.at(-1)?.at ?? 0) });
  }

  /** @param {Partial<Line>} line */
  add(line) {
    this.count += 1;
    const whole = { ...BLANK, ...line, key: String(this.count) };
    let place = this.lines.length;
    while (place > 0 && /** @type {Line} */ (this.lines[place - 1]).at > whole.at) place -= 1;
    this.lines = this.lines.toSpliced(place, 0, whole);
  }

  /**
   * @param {Line} line
   * @param {Partial<Line>} change
   * @returns {Line}
   */
  change(line, change) {
    const changed = { ...line, ...change };
    this.lines = this.lines.map((other) => (other === line ? changed : other));
    return changed;
  }
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
  taskId: "",
  utteranceId: "",
  ref: "",
  why: "",
};

/**
 * @param {Line} line
 * @param {{ utteranceId: string, who: string, by: string, text: string, taskId: string }} said
 */
function isSame(line, said) {
  if (line.utteranceId) return line.utteranceId === said.utteranceId;
  if (line.who !== said.who) return false;
  // A typed line is stored before the provider has named its task: here the words have to do.
  if (line.ref) return said.by === "text" && line.stage !== "waiting" && line.text === said.text;
  return line.taskId !== "" && line.taskId === said.taskId;
}
