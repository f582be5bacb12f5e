/**
 * Restores a lost video: watches room and frames, advances the ladder and performs its steps. Touches no element; what
 * it finds reaches the page through the conversation's state.
 */

import { isOpen } from "../conversation/state.js";
import { FINE, OUTSIDE } from "./browser-facts.js";
import { diagnose } from "./diagnosis.js";
import { climb, isRecovering, mayRenew, OFF } from "./ladder.js";

export const TICK_MS = 250;
const EARLY = ["requested", "creating"];
/** A room may close a moment before the portal says why. */
const CLOSED_MS = 3_000;
/** A session about to reach the provider's limit is replaced this long before: in a pause, or at the latest. */
const REPLACE_FROM_MS = 15_000;
const REPLACE_LATEST_MS = 5_000;

/**
 * What is known about the session whose room was entered last.
 *
 * @typedef {object} RecoveredSession
 * @property {boolean} hadPicture
 * @property {string} provider  the session's status at the provider; empty until it was asked
 * @property {boolean} isOtherRoom  the token opened a room that is not this session's
 * @property {string} verdict
 * @property {number} endsAt  the portal's clock; 0 unless the conversation continues after the provider's limit
 * @property {boolean} isReplaced  before it ends
 */

/** @type {RecoveredSession} */
const NEW_SESSION = Object.freeze({
  hadPicture: false,
  provider: "",
  isOtherRoom: false,
  verdict: "",
  endsAt: 0,
  isReplaced: false,
});

/** @typedef {import("./diagnosis.js").Facts & { hasSound: boolean, isEarly: boolean, room: string }} RecoveryFacts */

export class Recovery {
  #conversation;
  #readBrowser;
  #clock;
  #ladder = OFF;
  #session = NEW_SESSION;
  #sessionId = ""; // that #session is about
  /** @type {Set<string>} IDs of sessions that have been continued; messages about them are ignored */
  #continued = new Set();

  /**
   * @param {import("../conversation/conversation.js").Conversation} conversation
   * @param {object} [parts]
   * @param {() => import("./browser-facts.js").BrowserFacts} [parts.readBrowser]
   * @param {() => number} [parts.clock]  milliseconds, monotonic
   */
  constructor(conversation, { readBrowser = () => FINE, clock = () => performance.now() } = {}) {
    this.#conversation = conversation;
    this.#readBrowser = readBrowser;
    this.#clock = clock;
  }

  get ladder() {
    return this.#ladder;
  }

  /** Whether a new session was requested and has no room yet. */
  get awaitsSession() {
    return this.#ladder.step === "renew" && !this.#ladder.hasRoom;
  }

  /** Whether the new session replaces one that reaches the provider's limit, rather than one that failed. */
  get isPlanned() {
    return this.#session.isReplaced;
  }

  /** A room has been named, or the page returns to it after a reload. */
  begin() {
    const { sessionId } = this.#conversation.state;
    if (sessionId !== this.#sessionId) this.#session = NEW_SESSION;
    this.#sessionId = sessionId;
    this.#advance("begin");
  }

  end() {
    this.#sessionId = "";
    this.#advance("end");
  }

  /** Check the video. */
  tick() {
    if (this.#ladder.step === "off") return;
    if (this.#mustReplace()) return this.#replace();
    const browser = this.#readBrowser();
    if (browser.hasMoved) {
      this.#update({ hadPicture: true });
      return this.#advance("frame");
    }
    const facts = this.#facts(browser);
    this.#advance("tick", facts);
    // While a new session starts there is nothing to diagnose yet; the reason for it stands.
    if (this.#ladder.step !== "picture" && this.#ladder.step !== "renew") this.#diagnose(facts);
  }

  /** The room refuses to let this page in, or no new session was created. */
  refused() {
    this.#advance("refused");
  }

  /** The room was closed. The portal may be about to say why. */
  closed() {
    const { sessionId } = this.#conversation.state;
    setTimeout(() => {
      const isSame = sessionId === this.#conversation.state.sessionId;
      if (isSame && this.#ladder.step !== "renew") this.refused();
    }, CLOSED_MS);
  }

  /** The user chose to go on without video. */
  settle() {
    this.#advance("settle");
  }

  /** The user asked for another attempt. */
  again() {
    this.#advance("again");
  }

  /**
   * The provider's limit is about to end the session, and the conversation continues in a new one.
   *
   * @param {number} endsAt  the portal's clock
   */
  expectEnd(endsAt) {
    this.#update({ endsAt });
  }

  /** @param {{ status: string, is_other_room: boolean }} message  the session's status at the provider */
  providerStatus({ status, is_other_room: isOtherRoom }) {
    this.#update({ provider: status, isOtherRoom });
    this.#conversation.dispatch({ type: "provider", status });
  }

  /**
   * Whether a status concerns a session that is being replaced. Such a status is handled here.
   *
   * @param {{ session_id: string, status: string, reason?: string }} message
   */
  answers({ session_id: sessionId, status, reason }) {
    if (this.#continued.has(sessionId)) return true;
    const { endsAt, isReplaced } = this.#session;
    if (endsAt && !isReplaced && reason === "duration_limit") {
      if (status === "ended") this.#replace();
      return true;
    }
    const isLive = this.#conversation.state.phase === "live";
    if (reason !== "provider_ended" || status !== "ended" || !isLive || !mayRenew(this.#ladder)) return false;
    this.refused();
    return true;
  }

  /**
   * Whether an error answers a request of a recovery step. Such an error is handled here.
   *
   * @param {{ code: string }} error
   */
  isAnsweredBy({ code }) {
    if (code === "rejoin_refused") this.#joinAgain();
    else if (!this.awaitsSession) return false;
    else {
      this.#continued.delete(this.#conversation.state.sessionId); // if it is still open, it goes on
      this.refused();
    }
    return true;
  }

  /** @param {Partial<RecoveredSession>} changes */
  #update(changes) {
    this.#session = { ...this.#session, ...changes };
  }

  /**
   * @param {import("./browser-facts.js").BrowserFacts} browser
   * @returns {RecoveryFacts}
   */
  #facts(browser) {
    const { state, room } = this.#conversation;
    const { hadPicture, provider, isOtherRoom } = this.#session;
    return {
      ...browser,
      ...(room?.facts() ?? OUTSIDE),
      isBlocked: state.isBlocked,
      isEarly: EARLY.includes(state.session?.status ?? ""),
      hadPicture,
      provider,
      isOtherRoom,
      isPatienceOver: !["picture", "reconnect", "resubscribe", "rejoin"].includes(this.#ladder.step),
    };
  }

  /**
   * Advance the ladder, report its new step and perform it.
   *
   * @param {import("./ladder.js").LadderEvent["type"]} type
   * @param {RecoveryFacts} [facts]
   */
  #advance(type, facts = this.#facts(FINE)) {
    const before = this.#ladder.step;
    this.#ladder = climb(this.#ladder, { type, at: this.#clock(), ...facts });
    const { step } = this.#ladder;
    if (step === before) return;
    if (step === "off" || before === "off") return this.#conversation.dispatch({ type: "ladder", step });
    const isFrozen = isRecovering(step) && before === "picture" && this.#session.hadPicture && facts.hasVideo;
    if (isFrozen) this.#conversation.report("frozen");
    this.#diagnose(facts);
    const { verdict } = this.#session;
    this.#conversation.report("ladder", { step, from: before, because: verdict });
    this.#conversation.dispatch({ type: "ladder", step, code: verdict });
    if (step === "resubscribe") this.#conversation.room?.resubscribe();
    else if (step === "rejoin") this.#rejoin();
    else if (step === "renew") this.#requestSession("no_picture");
    else if (step === "out") this.#giveUp();
    this.#conversation.flush();
  }

  /** @param {RecoveryFacts} facts */
  #diagnose(facts) {
    if (this.#ladder.step === "picture") return;
    const verdict = diagnose(facts);
    if (verdict === this.#session.verdict) return;
    this.#update({ verdict });
    this.#conversation.report("verdict", { code: verdict, stage: this.#ladder.step, room: facts.room });
    this.#conversation.dispatch({ type: "verdict", code: verdict });
  }

  #mustReplace() {
    const { endsAt, isReplaced } = this.#session;
    const { state } = this.#conversation;
    const left = endsAt - this.#conversation.now();
    return endsAt > 0 && !isReplaced && left <= (state.isTalking ? REPLACE_LATEST_MS : REPLACE_FROM_MS);
  }

  /** Continue in a new session before the provider's limit ends this one. */
  #replace() {
    const from = this.#ladder.step;
    this.#ladder = climb(this.#ladder, { type: "expired", at: this.#clock() });
    const { step } = this.#ladder;
    if (step === from) return;
    this.#update({ isReplaced: true });
    this.#conversation.report("ladder", { step, from, because: "duration_limit" });
    this.#conversation.dispatch({ type: "ladder", step, code: "" });
    this.#requestSession("duration_limit");
  }

  /** Join the room again, with a new token where the portal has one. */
  #rejoin() {
    if (this.#conversation.isOnline) this.#conversation.send({ type: "room.rejoin" });
    else this.#joinAgain();
  }

  /** Join the room again with the token that this page has. */
  #joinAgain() {
    const { state, room } = this.#conversation;
    if (state.access?.token && isOpen(state)) void room?.join(state.access.url, state.access.token);
  }

  /** @param {"no_picture" | "duration_limit"} because */
  #requestSession(because) {
    const { sessionId, startOptions } = this.#conversation.state;
    const { take_over: _, ...options } = startOptions;
    this.#continued.add(sessionId);
    this.#conversation.send({ type: "session.start", ...options, continues: sessionId, because });
  }

  #giveUp() {
    const { verdict } = this.#session;
    this.#conversation.report("verdict", { code: verdict, stage: "out", is_final: true });
    this.#conversation.dispatch({ type: "room_lost", code: verdict });
    this.#conversation.leave();
  }
}
