/**
 * One page's conversation. Brings socket, room, outbox and transcript together and holds the page's state, which only
 * `dispatch` changes. Touches no element: views read the state when `onChange` is called.
 */

import { shortened } from "../lib/characters.js";
import { Recovery } from "../recovery/recovery.js";
import { Captions } from "./captions.js";
import { FirstSound } from "./first-sound.js";
import { HeardUser } from "./heard-user.js";
import { MuteUntilSilent } from "./mute-until-silent.js";
import { Outbox } from "./outbox.js";
import { handleMessage } from "./portal-messages.js";
import { Reports } from "./reports.js";
import { handleRoomEvent } from "./room-events.js";
import { isOpen, READY, reduce, takesTasks } from "./state.js";
import { Transcript } from "./transcript.js";
import { Waiting } from "./waiting.js";

/** Reports sent at once. All others may wait for the first frame. */
const URGENT = ["ladder", "verdict", "waiting", "waiting_over"];

/** The portal refuses reports of longer lines. */
const MAX_LINE_CODE_POINTS = 10_000;

/** Causes to show for the socket's close codes. @type {Record<number, string>} */
const ACCESS_LOST = { 4401: "signed_out", 4403: "access_ended", 4428: "second_factor_needed" };

/** @typedef {import("./state.js").StartOptions} StartOptions */
/** @typedef {import("./state.js").RoomAccess} RoomAccess */

export class Conversation {
  #state = READY;
  #savedSession;
  #onChange;
  #onLeave;
  #readCheck;
  #isUnseen;
  #waiting = new Waiting();
  #checkedFor = ""; // ID of the session whose record has the device check
  /** @type {import("../lib/socket.js").PortalSocket | undefined} */
  #socket;
  /** @type {import("../room/room.js").AvatarRoom | undefined} */
  #room;

  /**
   * @param {object} parts
   * @param {Pick<import("./saved-session.js").SavedSession, "recall" | "keep" | "forget">} parts.savedSession
   * @param {() => void} parts.onChange
   * @param {() => string} parts.newRef
   * @param {(isContinued: boolean) => void} [parts.onLeave]  the tab left its session; a new one may continue it
   * @param {(isWatched: boolean) => void} [parts.onWatchSound]  whether the avatar's sound is to be watched
   * @param {() => Record<string, unknown> | null} [parts.readCheck]  the last check of this device
   * @param {() => import("../recovery/browser-facts.js").BrowserFacts} [parts.readBrowser]
   * @param {() => boolean} [parts.isUnseen]  whether the page or the video in it is hidden
   * @param {() => number} [parts.clock]  milliseconds since 1970
   * @param {() => number} [parts.monotonicClock]  milliseconds
   */
  constructor({
    savedSession,
    onChange,
    newRef,
    onLeave = () => {},
    onWatchSound = () => {},
    readCheck = () => null,
    readBrowser,
    isUnseen = () => false,
    clock = Date.now,
    monotonicClock,
  }) {
    this.#savedSession = savedSession;
    this.#onChange = onChange;
    this.#onLeave = onLeave;
    this.#readCheck = readCheck;
    this.#isUnseen = isUnseen;
    this.clock = clock;
    this.outbox = new Outbox(newRef);
    this.transcript = new Transcript();
    this.captions = new Captions();
    this.heardUser = new HeardUser();
    this.muting = new MuteUntilSilent((isMuted) => this.#room?.mute(isMuted));
    this.reports = new Reports((message) => this.send(message), clock);
    this.firstSound = new FirstSound((data) => this.report("first_sound", data), onWatchSound);
    this.recovery = new Recovery(this, { readBrowser, clock: monotonicClock });
  }

  get state() {
    return this.#state;
  }

  get room() {
    return this.#room;
  }

  get isOnline() {
    return this.#socket?.isOpen ?? false;
  }

  /** The portal's clock, in milliseconds since 1970. */
  now() {
    return this.clock() + this.#state.clockOffset;
  }

  /** The last check of this device. */
  get lastCheck() {
    return this.#readCheck();
  }

  /** @param {import("./state.js").StateEvent} event */
  dispatch(event) {
    this.#state = reduce(this.#state, event);
    this.#onChange();
  }

  /**
   * Send a message to the portal, or keep it until the socket opens.
   *
   * @param {{ type: string, [key: string]: unknown }} message
   */
  send(message) {
    this.#socket?.send(message);
  }

  /**
   * Report what happened in this page to the portal.
   *
   * @param {string} kind
   * @param {Record<string, unknown>} [data]
   */
  report(kind, data = {}) {
    if (kind === "first_frame") this.reports.addFirst(kind, data, this.clock());
    else this.reports.add(kind, data, this.clock(), !this.#state.hasPicture && !URGENT.includes(kind));
  }

  /** Check the video, and whether it waits for the user. Call every TICK_MS while the page is open. */
  tick() {
    this.recovery.tick();
    const reason = this.#waiting.next(this.#state, this.#isUnseen());
    if (reason) this.report("waiting", { because: reason });
    else if (reason === "") this.report("waiting_over");
  }

  /** Add the last check of this device to the session's record, once per session. */
  reportCheck() {
    const { sessionId } = this.#state;
    if (this.#checkedFor === sessionId) return;
    this.#checkedFor = sessionId;
    const check = this.#readCheck();
    if (check) this.report("check", check);
  }

  // Starting and leaving

  /**
   * Open the socket. After a reload, return to the session of this tab.
   *
   * @param {import("../lib/socket.js").PortalSocket} socket
   * @param {import("../room/room.js").AvatarRoom} room
   */
  open(socket, room) {
    this.#socket = socket;
    this.#room = room;
    const saved = this.#savedSession.recall();
    if (saved) this.#rejoin(saved);
    socket.open();
  }

  /** @param {import("./saved-session.js").Saved} saved */
  #rejoin({ sessionId, url, token, name, unsent }) {
    const access = { url, token, name };
    this.outbox.restore(unsent);
    for (const item of unsent) this.transcript.written(item, this.now());
    this.dispatch({ type: "rejoin", sessionId, access });
    if (token) this.enter(access);
  }

  /** Ask the portal to prepare a room before Start is pressed, where it has rooms of its own. */
  prepare() {
    const { sessionId } = this.#state;
    if (!sessionId && !isOpen(this.#state) && !this.#room?.hasEarlyRoom && this.isOnline) {
      this.send({ type: "room.prepare" });
    }
  }

  /**
   * @param {number} pressedAt  on the page's own time line, for the delay of the first frame
   * @param {StartOptions} [options]
   */
  start(pressedAt, options = {}) {
    this.#state = reduce(this.#state, { type: "start", at: pressedAt, options });
    const { leavingId, formerId } = this.#state;
    if (!leavingId) this.requestSession(); // before drawing, so that the portal can work meanwhile
    if (!formerId || options.continues !== formerId) this.transcript.clear();
    this.reports.begin();
    if (!options.continues) this.firstSound.begin(pressedAt); // a continued conversation has no greeting
    this.#onChange();
  }

  /**
   * Continue the conversation in a new session, to change what a running one cannot.
   *
   * @param {number} pressedAt
   * @param {StartOptions} options
   */
  restart(pressedAt, options) {
    const { sessionId } = this.#state;
    if (!sessionId) return;
    this.leave(true);
    this.start(pressedAt, { ...options, continues: sessionId, because: "user_stopped" });
  }

  requestSession() {
    this.send({ type: "session.start", ...this.#state.startOptions });
  }

  /** Cancel the start, leave the queue, or end the session. */
  stop() {
    this.recovery.end();
    if (this.#state.phase === "queue") return this.leaveQueue();
    this.dispatch({ type: "cancel" });
    // A session without an ID is stopped with its first status.
    if (this.#state.session || this.#state.isReleasing) this.send({ type: "session.stop" });
  }

  leaveQueue() {
    this.send({ type: "queue.leave" });
    this.dispatch({ type: "forget" });
  }

  /** @param {RoomAccess} access */
  enter(access) {
    this.dispatch({ type: "room_named", access });
    this.recovery.begin();
    void this.#room?.join(access.url, access.token, access.name);
  }

  /**
   * Leave the session's room. This tab cannot return to the session.
   *
   * @param {boolean} [isContinued]  in a new session
   */
  leave(isContinued = false) {
    this.recovery.end();
    this.firstSound.forget();
    this.endAllLines();
    this.#onLeave(isContinued);
    this.reports.flush();
    this.#room?.leave();
    this.forgetSaved();
    this.dispatch({ type: "left" });
    for (const item of this.outbox.sessionEnded()) this.transcript.written(item, this.now());
  }

  /** Save what a reload needs to return to the session. */
  save() {
    const { sessionId, access } = this.#state;
    if (sessionId && access) this.#savedSession.keep({ sessionId, ...access, unsent: this.outbox.items });
  }

  forgetSaved() {
    this.#savedSession.forget();
  }

  // Talking

  stay() {
    this.send({ type: "session.stay" });
  }

  /** Mute the avatar at once and ask the provider to stop it. */
  interrupt() {
    this.muting.begin();
    this.firstSound.forget();
    this.captions.clear();
    this.transcript.interrupted();
    this.send({ type: "task.interrupt" });
    this.#onChange();
  }

  /**
   * @param {"talk" | "repeat"} kind
   * @param {string} text
   */
  say(kind, text) {
    const item = this.outbox.add(kind, text);
    if (this.#sendsTasks) this.firstSound.textSent(performance.now());
    else this.transcript.written(item, this.now());
    this.flush();
  }

  get #sendsTasks() {
    return takesTasks(this.#state) && this.isOnline && this.#state.isJoined;
  }

  /** @param {string} ref */
  retry(ref) {
    const item = this.outbox.retry(ref);
    if (item) this.transcript.retried(ref, item, this.now());
    this.flush();
  }

  /** Send the texts that wait, if the session takes them now. */
  flush() {
    if (this.#sendsTasks) {
      const leaving = this.outbox.take();
      for (const { ref, kind, text } of leaving) this.send({ type: "task.send", ref, kind, text });
      // Drawn after they have left, because drawing takes the browser a few milliseconds.
      for (const item of leaving) this.transcript.written(item, this.now());
    }
    this.save();
    this.#onChange();
  }

  /** @param {import("./transcript.js").Line | undefined} line */
  reportLine(line) {
    if (!line) return;
    const message = shortened(line.text, MAX_LINE_CODE_POINTS);
    this.report("avatar_end_message", { task_id: line.taskId, message, interrupted: line.isInterrupted });
  }

  /**
   * End a line whose sound ended before its last words arrived.
   *
   * @param {string} taskId
   */
  endLine(taskId) {
    for (const line of this.transcript.talking()) {
      if (line.taskId !== taskId) continue;
      this.transcript.interrupted(taskId);
      this.reportLine(this.transcript.finished(taskId, ""));
    }
    this.#onChange();
  }

  /** End all lines that the avatar has not finished. */
  endAllLines() {
    for (const { taskId } of this.transcript.talking()) this.endLine(taskId);
    this.captions.clear();
    this.muting.end();
    this.#onChange();
  }

  // What socket, room and page report

  /** @param {any} message */
  onMessage(message) {
    handleMessage(this, message);
    this.#onChange();
  }

  onSocketOpen() {
    this.dispatch({ type: "socket_opened" });
    const { sessionId, access, phase } = this.#state;
    const room = !access?.token; // not received before the socket broke, or not kept over a reload
    if (sessionId) this.#socket?.sendFirst({ type: "session.join", session_id: sessionId, ...(room && { room }) });
    if (phase === "queue") this.requestSession(); // the queue position was lost with the old socket
  }

  onSocketDrop() {
    this.outbox.cutOff();
    this.dispatch({ type: "socket_dropped" });
  }

  /**
   * The portal closed the socket for good.
   *
   * @param {number} code
   * @returns {boolean} whether the page shows a reason
   */
  onAccessLost(code) {
    if (isOpen(this.#state)) {
      this.dispatch({ type: "room_lost", code: ACCESS_LOST[code] ?? "access_ended" });
      this.leave();
    }
    return Object.values(ACCESS_LOST).includes(this.#state.cause?.code ?? "");
  }

  /** The browser shows the page again as it was left: the portal may believe that the tab is gone. */
  onShownAgain() {
    const { sessionId } = this.#state;
    if (sessionId && this.isOnline) this.#socket?.sendFirst({ type: "session.join", session_id: sessionId });
  }

  /** @param {{ type: string, [key: string]: any }} event */
  onRoomEvent(event) {
    handleRoomEvent(this, event);
    this.#onChange();
  }
}
