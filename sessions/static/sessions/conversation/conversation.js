/**
 * One page's conversation: brings socket, room, outbox and transcript together. Owns no element;
 * whoever draws is told by onChange that something is different, and reads it here.
 */

import { Recovery } from "../recovery/recovery.js";
import { Captions } from "./captions.js";
import { HeardUser } from "./heard-user.js";
import { MuteUntilSilent } from "./mute-until-silent.js";
import { Outbox } from "./outbox.js";
import { handleMessage } from "./portal-messages.js";
import { Reports } from "./reports.js";
import { cutOff, handleRoomEvent } from "./room-events.js";
import { ask, begin, cancelOrStop, comeBack } from "./start.js";
import { isOpen, next, READY, takesTasks } from "./state.js";
import { Transcript } from "./transcript.js";

/** Told at once; the rest may wait for the first picture. */
const URGENT = ["first_frame", "ladder", "verdict"];

/** Close codes of the socket, and the causes that they show as. @type {Record<number, string>} */
const ACCESS_LOST = { 4401: "signed_out", 4403: "access_ended", 4428: "second_factor_needed" };

export class Conversation {
  /**
   * @param {object} parts
   * @param {Pick<import("./saved-session.js").SavedSession, "recall" | "keep" | "forget">} parts.memory
   * @param {() => void} parts.onChange
   * @param {() => string} parts.newRef
   * @param {() => number} [parts.clock]
   */
  constructor({ memory, onChange, newRef, clock = Date.now }) {
    this.memory = memory;
    this.onChange = onChange;
    this.clock = clock;
    this.state = READY;
    this.outbox = new Outbox(newRef);
    this.transcript = new Transcript();
    this.offset = this.startedAt = 0;
    this.captions = new Captions();
    this.muting = new MuteUntilSilent((isSilent) => this.room?.mute(isSilent));
    this.quality = this.trouble = "";
    this.drops = 0; // of the socket, since it last stood
    this.heardUser = new HeardUser();
    this.onLeave = (/** @type {boolean} */ _goesOn) => {}; // the session is over for this tab
    this.isBack = true; // on the session, since the socket last stood
    this.reports = new Reports((message) => this.socket?.send(message), this.clock);
    /** @type {import("./start.js").StartOptions} */
    this.startOptions = {}; // what Start was pressed with
    this.sessionId = ""; // this tab's session, from the moment the portal names it until it is over
    this.tab = ""; // what the portal calls this tab
    this.leavingId = ""; // a session that must be over before another may start
    this.formerId = ""; // the session before this one, whose end may still be told
    /** @type {{ url: string, token: string, name: string } | null} */
    this.place = null;
    this.recovery = new Recovery(this);
    this.lastCheck = /** @type {() => Record<string, unknown> | null} */ (() => null);
    this.checkedFor = "";
  }

  /**
   * @param {import("../lib/socket.js").PortalSocket} socket
   * @param {import("../room/room.js").AvatarRoom} room
   */
  open(socket, room) {
    this.socket = socket;
    this.room = room;
    const place = this.memory.recall();
    if (place) comeBack(this, place);
    socket.open();
  }

  /** @param {{ url: string, token: string, name: string }} place */
  enter({ url, token, name }) {
    this.place = { url, token, name };
    this.recovery.begin();
    void this.room?.join(url, token, name);
  }

  /**
   * @param {number} pressedAt  on the page's own time line, for the first frame's delay
   * @param {import("./start.js").StartOptions} [options]
   */
  start(pressedAt, options = {}) {
    begin(this, pressedAt, options);
  }

  stop() {
    this.recovery.end();
    cancelOrStop(this);
  }

  stay() {
    this.socket?.send({ type: "session.stay" });
  }

  /** Silence here at once, and at the provider as soon as it has heard of it. */
  interrupt() {
    this.muting.begin();
    this.captions.clear();
    this.transcript.interrupted();
    this.socket?.send({ type: "task.interrupt" });
    this.onChange();
  }

  /**
   * @param {"talk" | "repeat"} kind
   * @param {string} text
   */
  say(kind, text) {
    this.transcript.written(this.outbox.add(kind, text), this.now());
    this.flush();
  }

  /** @param {string} ref */
  retry(ref) {
    const item = this.outbox.retry(ref);
    if (item) this.transcript.retried(ref, item, this.now());
    this.flush();
  }

  /** @param {any} message */
  onMessage(message) {
    handleMessage(this, message);
    this.onChange();
  }

  onSocketOpen() {
    this.drops = 0;
    this.isBack = !this.sessionId; // else not before the portal has answered `session.join`
    this.trouble = "";
    const room = this.place?.token === ""; // the way into it is not kept
    if (this.sessionId)
      this.socket?.sendFirst({ type: "session.join", session_id: this.sessionId, ...(room && { room }) });
    if (this.state.phase === "queue") ask(this); // the place in line went with the old socket
    this.onChange();
  }

  /**
   * The portal closed the socket for good. Returns whether the page has something to say of it.
   *
   * @param {number} code
   */
  onAccessLost(code) {
    if (isOpen(this.state)) {
      this.dispatch({ type: "room_lost", code: ACCESS_LOST[code] ?? "access_ended" });
      this.leave();
    }
    return Object.values(ACCESS_LOST).includes(this.state.cause?.code ?? "");
  }

  /** The page is shown again as it was: it may have said goodbye meanwhile. */
  onShownAgain() {
    if (this.sessionId && this.socket?.isOpen)
      this.socket.sendFirst({ type: "session.join", session_id: this.sessionId });
  }

  onSocketDrop() {
    this.drops += 1;
    this.outbox.cutOff();
    this.onChange();
  }

  /** @param {{ type: string, [key: string]: any }} event */
  onRoomEvent(event) {
    handleRoomEvent(this, event);
    this.onChange();
  }

  /**
   * Tell the portal what happened here.
   *
   * @param {string} kind
   * @param {Record<string, unknown>} [data]
   */
  report(kind, data = {}) {
    this.reports.add(kind, data, this.clock(), !this.state.hasPicture && !URGENT.includes(kind));
  }

  /** The portal's clock. */
  now() {
    return this.clock() + this.offset;
  }

  /** @param {import("./state.js").Happening} happening */
  dispatch(happening) {
    this.state = next(this.state, happening);
    this.onChange();
  }

  flush() {
    if (takesTasks(this.state) && this.socket?.isOpen && this.isBack) {
      for (const item of this.outbox.take()) {
        this.socket.send({ type: "task.send", ref: item.ref, kind: item.kind, text: item.text });
        this.transcript.written(item, this.now());
      }
    }
    this.remember();
    this.onChange();
  }

  remember() {
    if (this.sessionId && this.place)
      this.memory.keep({ sessionId: this.sessionId, ...this.place, unsent: this.outbox.items });
  }

  /** Out of the room, and no way back into this session. @param {boolean} [goesOn] in another one */
  leave(goesOn = false) {
    this.recovery.end();
    cutOff(this);
    this.onLeave(goesOn);
    this.reports.flush();
    this.room?.leave();
    this.memory.forget();
    this.sessionId = "";
    this.place = null;
    for (const item of this.outbox.sessionEnded()) this.transcript.written(item, this.now());
  }
}
