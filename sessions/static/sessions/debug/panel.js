/**
 * The debug panel for staff, on pages opened with `?debug`: logs the messages between the page's parts.
 */

import { one, say } from "../lib/dom.js";
import { DebugLog } from "./log.js";
import { factsOf } from "./stats.js";

const SAMPLE_MS = 1_000;
const ROWS_SHOWN = 200;
/** LiveKit events to log. Others, such as speaker levels, would bury these. */
const EVENTS = /** @type {const} */ ([
  "ConnectionStateChanged",
  "SignalReconnecting",
  "Reconnecting",
  "Reconnected",
  "Disconnected",
  "ParticipantConnected",
  "ParticipantDisconnected",
  "TrackPublished",
  "TrackUnpublished",
  "TrackSubscribed",
  "TrackSubscriptionFailed",
  "TrackUnsubscribed",
  "TrackMuted",
  "TrackUnmuted",
  "ConnectionQualityChanged",
  "MediaDevicesError",
]);

/**
 * @typedef {object} Parts
 * @property {import("../conversation/conversation.js").Conversation} conversation
 * @property {import("../room/room.js").AvatarRoom} room
 * @property {import("../lib/socket.js").PortalSocket} socket
 */

class DebugPanel {
  /** @param {Parts} parts */
  constructor({ conversation, room, socket }) {
    this.conversation = conversation;
    this.room = room;
    this.log = new DebugLog(() => conversation.now());
    /** @type {import("./stats.js").Facts} */
    this.facts = {};
    this.drawn = 0;
    this.listen(socket);
    one("#debug-copy", HTMLButtonElement).addEventListener("click", () => void this.copy());
    setInterval(() => void this.sample(), SAMPLE_MS);
  }

  /** @param {import("../lib/socket.js").PortalSocket} socket */
  listen(socket) {
    const { conversation, log } = this;
    onCall(conversation, "onMessage", (message) => log.add("portal", message.type, message));
    onCall(conversation, "onRoomEvent", (event) => log.add("room", event.type, event));
    onCall(conversation, "onSocketDrop", () => log.add("browser", "socket dropped"));
    onCall(socket, "send", (message) => log.add("browser", message.kind ?? message.type, message));
    for (const name of EVENTS) {
      this.room.livekitRoom.on(this.room.LiveKit.RoomEvent[name], (/** @type {any[]} */ ...args) =>
        log.add("LiveKit", name, summary(args)),
      );
    }
  }

  async sample() {
    const room = this.room.livekitRoom;
    const tracks = [...room.remoteParticipants.values()].flatMap((one) => [...one.trackPublications.values()]);
    const reports = await Promise.all(tracks.map(({ track }) => track?.getRTCStatsReport()));
    const rows = reports.flatMap((report) => [...(report?.values() ?? [])]);
    const { serverInfo, state } = room;
    this.facts = {
      session: this.conversation.state.session?.id ?? "",
      room: state,
      server: [serverInfo?.version, serverInfo?.region].filter(Boolean).join(" "),
      ...factsOf(rows),
    };
    this.draw();
  }

  draw() {
    const facts = Object.entries(this.facts).filter(([, value]) => value !== "");
    one("#debug-facts", HTMLElement).replaceChildren(...facts.map(([name, value]) => pair(name, String(value))));
    if (this.drawn === this.log.entries.length) return;
    this.drawn = this.log.entries.length;
    const rows = this.log.entries.slice(-ROWS_SHOWN).map(({ ms, from, what, data }) => {
      const row = document.createElement("li");
      row.textContent = `${ms} ms · ${from} · ${what} ${JSON.stringify(data)}`;
      return row;
    });
    one("#debug-events", HTMLElement).replaceChildren(...rows.toReversed());
  }

  asJson() {
    return JSON.stringify(
      { page: location.pathname, browser: navigator.userAgent, facts: this.facts, events: this.log.entries },
      null,
      2,
    );
  }

  async copy() {
    const message = one("#debug-copied", HTMLElement);
    message.textContent = "";
    await navigator.clipboard.writeText(this.asJson());
    say(message, message.dataset.words ?? "");
  }
}

/**
 * Call `listener` before each call of a method.
 *
 * @param {any} target
 * @param {string} name
 * @param {(argument: any) => void} listener
 */
function onCall(target, name, listener) {
  const call = target[name].bind(target);
  target[name] = (/** @type {any} */ argument) => {
    listener(argument);
    return call(argument);
  };
}

/**
 * Summarise the arguments of a LiveKit event.
 *
 * @param {any[]} args
 * @returns {Record<string, unknown>}
 */
function summary(args) {
  /** @type {Record<string, unknown>} */
  const data = {};
  for (const value of args) {
    if (typeof value !== "object" || value === null) data.is = value;
    else if (value.identity) data.identity = value.identity;
    else if (value.kind) data.kind = value.kind;
    else if (value instanceof Error) data.error = value.message;
  }
  return data;
}

/**
 * @param {string} name
 * @param {string} value
 */
function pair(name, value) {
  const [box, term, detail] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  if (!box || !term || !detail) return document.createElement("div");
  term.textContent = name.replaceAll("_", " ");
  detail.textContent = value;
  box.append(term, detail);
  return box;
}

// Modules run in page order, so this listens before main.js dispatches.
document.body.addEventListener(
  "room:open",
  (event) => new DebugPanel(/** @type {CustomEvent<Parts>} */ (event).detail),
);
