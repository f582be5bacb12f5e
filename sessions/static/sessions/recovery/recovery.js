/**
 * Brings the ladder to life: looks at the room and the picture, climbs, and does what each step asks for.
 * Owns no element; what it tells the page goes through the conversation's state.
 */

import { isOpen } from "../conversation/state.js";
import { FINE, OUTSIDE } from "./browser-facts.js";
import { diagnose } from "./diagnosis.js";
import { climb, isRecovering, mayRenew, OFF } from "./ladder.js";
import { Renewal } from "./renewal.js";

export const LOOK_MS = 250;
const EARLY = ["requested", "creating"];
const CLOSED_MS = 3_000; // a room may close a moment before the portal says why

export class Recovery {
  /**
   * @param {import("../conversation/conversation.js").Conversation} it
   * @param {() => number} [clock]
   */
  constructor(it, clock = () => performance.now()) {
    this.it = it;
    this.clock = clock;
    this.ladder = OFF;
    this.look = () => FINE;
    /** @type {Set<string>} the sessions that newer ones continue: what is still said of them is no news */
    this.former = new Set();
    this.begunId = "";
    this.hadPicture = false;
    this.provider = "";
    this.isOtherRoom = false;
    /** @type {string} */
    this.verdict = "";
    this.renewal = new Renewal();
  }

  /** A room has been named, or is come back to. */
  begin() {
    const isNew = this.it.sessionId !== this.begunId;
    if (isNew)
      Object.assign(this, { hadPicture: false, provider: "", isOtherRoom: false, verdict: "", renewal: new Renewal() });
    this.begunId = this.it.sessionId;
    this.happen("begin");
  }

  end() {
    this.begunId = "";
    this.happen("end");
  }

  /** To be called every LOOK_MS while the page is open. */
  tick() {
    if (this.ladder.step === "off") return;
    if (this.renewal.isDue(this.it.now(), this.it.state.isTalking)) return this.happen("expired");
    const seen = this.look();
    if (seen.hasMoved) {
      this.hadPicture = true;
      return this.happen("frame");
    }
    const facts = this.facts(seen);
    this.happen("tick", facts);
    // While a new session is made there is nothing to judge yet; what made it necessary stands.
    if (this.ladder.step !== "picture" && this.ladder.step !== "renew") this.judge(facts);
  }

  /**
   * @param {import("./browser-facts.js").BrowserFacts} seen
   * @returns {import("./diagnosis.js").Facts & { hasSound: boolean, isEarly: boolean, room: string }}
   */
  facts(seen) {
    return {
      ...seen,
      ...(this.it.room?.facts() ?? OUTSIDE),
      isBlocked: this.it.state.isBlocked,
      isEarly: EARLY.includes(this.it.state.session?.status ?? ""),
      hadPicture: this.hadPicture,
      provider: this.provider,
      isOtherRoom: this.isOtherRoom,
      isPatienceOver: !["picture", "reconnect", "resubscribe", "rejoin"].includes(this.ladder.step),
    };
  }

  /**
   * @param {import("./ladder.js").Happening["type"]} type
   * @param {ReturnType<Recovery["facts"]>} [facts]
   */
  happen(type, facts = this.facts(FINE)) {
    const before = this.ladder.step;
    this.ladder = climb(this.ladder, { type, at: this.clock(), ...facts });
    const { step } = this.ladder;
    if (step === before) return;
    if (step === "off" || before === "off") return this.it.dispatch({ type: "ladder", step });
    if (type === "expired") return this.renewal.begin(this, before);
    if (isRecovering(step) && before === "picture" && this.hadPicture && facts.hasVideo) this.it.report("frozen");
    this.judge(facts);
    this.it.report("ladder", { step, from: before, because: this.verdict });
    this.it.dispatch({ type: "ladder", step, code: this.verdict });
    ACTIONS[step]?.(this);
    this.it.flush();
  }

  /**
   * Say why, where it is something new.
   *
   * @param {import("./diagnosis.js").Facts & { room: string }} facts
   */
  judge(facts) {
    if (this.ladder.step === "picture") return;
    const verdict = diagnose(facts);
    if (verdict === this.verdict) return;
    this.verdict = verdict;
    this.it.report("verdict", { code: verdict, stage: this.ladder.step, room: facts.room });
    this.it.dispatch({ type: "verdict", code: verdict });
  }

  /**
   * What the avatar service says of the session.
   *
   * @param {{ status: string, is_other_room: boolean }} answer
   */
  providerSays({ status, is_other_room: isOtherRoom }) {
    Object.assign(this, { provider: status, isOtherRoom });
    this.it.dispatch({ type: "provider", status });
  }

  /** The room lets nobody in, or no new session came about. */
  refused() {
    this.happen("refused");
  }

  /** The other side closed the room: the portal may know why. */
  closed() {
    const { sessionId } = this.it;
    setTimeout(() => sessionId === this.it.sessionId && this.ladder.step !== "renew" && this.refused(), CLOSED_MS);
  }

  /**
   * Whether a session's news is answered here: nobody asked for its end, or a new one continues it.
   *
   * @param {{ session_id: string, status: string, reason?: string }} news
   */
  answers({ session_id: sessionId, status, reason }) {
    if (this.former.has(sessionId)) return true;
    if (this.renewal.answers(this, status, reason)) return true;
    if (reason !== "provider_ended" || this.it.state.phase !== "live" || !mayRenew(this.ladder)) return false;
    if (status === "ended") this.refused();
    return status === "ended";
  }

  /**
   * Whether a refusal was the answer to what a step asked for.
   *
   * @param {{ code: string }} error
   */
  isAnsweredBy({ code }) {
    if (code === "rejoin_refused") this.joinAgain();
    else if (this.ladder.step !== "renew" || this.ladder.hasRoom) return false;
    else {
      this.former.delete(this.it.sessionId); // it goes on, if it still runs
      this.refused();
    }
    return true;
  }

  /** Into the room once more: with a fresh token where the portal has one. */
  rejoin() {
    if (this.it.socket?.isOpen) this.it.socket.send({ type: "room.rejoin" });
    else this.joinAgain();
  }

  /** The portal has no fresh access: what this page was handed opens the room once more. */
  joinAgain() {
    const { place } = this.it;
    if (place?.token && isOpen(this.it.state)) void this.it.room?.join(place.url, place.token);
  }

  /** @param {"no_picture" | "duration_limit"} [because] */
  renew(because = "no_picture") {
    this.former.add(this.it.sessionId);
    const { take_over: _, ...options } = this.it.startOptions;
    this.it.socket?.send({ type: "session.start", ...options, continues: this.it.sessionId, because });
  }

  /** Nothing is left to try. */
  giveUp() {
    this.it.report("verdict", { code: this.verdict, stage: "out", is_final: true });
    this.it.dispatch({ type: "room_lost", code: this.verdict });
    this.it.leave();
  }
}

/** @type {Partial<Record<import("./ladder.js").Step, (recovery: Recovery) => void>>} */
const ACTIONS = {
  resubscribe: ({ it }) => it.room?.resubscribe(),
  rejoin: (recovery) => recovery.rejoin(),
  renew: (recovery) => recovery.renew(),
  out: (recovery) => recovery.giveUp(),
};
