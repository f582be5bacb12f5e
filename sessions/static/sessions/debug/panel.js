/**
 * The panel for staff, on pages opened with ?debug: stands between the page's parts and notes what they tell
 * each other. Comes with the page only when the portal put the panel into it.
 */

import { one, say } from "../lib/dom.js";
import { DebugLog } from "./log.js";
import { factsOf } from "./stats.js";

const LOOK_MS = 1_000;
const SHOWN = 200;
/** LiveKit's names; what it says besides, such as each speaker's loudness, would bury the rest. */
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
    setInterval(() => void this.look(), LOOK_MS);
  }

  /** @param {import("../lib/socket.js").PortalSocket} socket */
  listen(socket) {
    const { conversation, log } = this;
    between(conversation, "onMessage", (message) => log.add("portal", message.type, message));
    between(conversation, "onRoomEvent", (event) => log.add("room", event.type, event));
    between(conversation, "onSocketDrop", () => log.add("browser", "socket dropped"));
    between(socket, "send", (message) => log.add("browser", message.kind ?? message.type, message));
    for (const name of EVENTS) {
      this.room.livekitRoom.on(this.room.LiveKit.RoomEvent[name], (/** @type {any[]} */ ...about) =>
        log.add("LiveKit", name, told(about)),
      );
    }
  }

  async look() {
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
    const rows = this.log.entries.slice(-SHOWN).map(({ ms, from, what, data }) => {
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
    const told = one("#debug-copied", HTMLElement);
    told.textContent = "";
    await navigator.clipboard.writeText(this.asJson());
    say(told, told.dataset.words ?? "");
  }
}

/**
 * Let somebody hear of each call, before it is made.
 *
 * @param {any} target
 * @param {string} name
 * @param {(argument: any) => void} hear
 */
function between(target, name, hear) {
  const call = target[name].bind(target);
  target[name] = (/** @type {any} */ argument) => {
    hear(argument);
    return call(argument);
  };
}

/**
 * What matters of the things LiveKit hands to its listeners.
 *
 * @param {any[]} about
 * @returns {Record<string, unknown>}
 */
function told(about) {
  /** @type {Record<string, unknown>} */
  const data = {};
  for (const it of about) {
    if (typeof it !== "object" || it === null) data.is = it;
    else if (it.identity) data.identity = it.identity;
    else if (it.kind) data.kind = it.kind;
    else if (it instanceof Error) data.error = it.message;
  }
  return data;
}

/**
 * @param {string} name
 * @param {string} value
 */
function pair(name, value) {
  const [box, term, said] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  if (!box || !term || !said) return document.createElement("div");
  term.textContent = name.replaceAll("_", " ");
  said.textContent = value;
  box.append(term, said);
  return box;
}

// Modules run in the order of the page: this one listens before main.js tells.
document.body.addEventListener(
  "room:open",
  (event) => new DebugPanel(/** @type {CustomEvent<Parts>} */ (event).detail),
);
