/** The live board: draws what the socket reports and sends what staff ask for. */

import { all, on, one, say, showOnly } from "../lib/dom.js";
import { PortalSocket } from "../lib/socket.js";
import { BoardView } from "./board-view.js";
import { askToStop } from "./stop-dialog.js";

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const address = `${scheme}//${location.host}/ws/board/?lang=${document.documentElement.lang}`;
const view = new BoardView({
  onStop: stopOne,
  onRemove: (entry) => socket.send({ type: "board.remove", place: entry }),
});
const result = one("#said", HTMLElement);
let refusal = ""; // why the portal did not take this page's socket

/** @param {string} state */
const showConnection = (state) => showOnly("data-when", state, one("#line-state", HTMLElement));

const socket = new PortalSocket(address, {
  onMessage(message) {
    if (message.type === "board.changed") {
      view.change(message);
      if (refusal && result.textContent === refusal) say(result, ""); // it concerned the former socket
      refusal = "";
    } else if (message.about === "connect") {
      refusal = message.words;
      say(result, refusal);
    } else if (message.type === "board.stopping")
      say(result, (result.dataset.stopping ?? "").replace("{n}", message.count));
    else if (message.type === "board.stopped" || message.type === "error") say(result, message.words);
  },
  onOpen(isAgain) {
    if (isAgain) view.forget(); // the portal sends everything again
    showConnection("open");
  },
  onDrop: () => showConnection("dropped"),
  onRefused: () => showConnection("refused"),
});
socket.open();
setInterval(() => view.tick(), 1000);

/** @param {import("./board-view.js").Session} session */
function stopOne(session) {
  askToStop({ user: session.user }, (reason) => socket.send({ type: "board.stop", sessions: [session.id], reason }));
}

on("#stop-chosen", "click", () => {
  const chosen = view.chosen();
  askToStop({ count: chosen.length }, (reason) => {
    socket.send({ type: "board.stop", sessions: chosen, reason });
    view.chooseNone();
  });
});
on("#stop-all", "click", () => {
  askToStop({}, (reason) => socket.send({ type: "board.stop", sessions: "all", reason }));
});
on("#q", "input", ({ target }) => {
  if (target instanceof HTMLInputElement) view.filter(target.value);
});
on("#rows", "change", () => view.count());
for (const button of all("#ask-not")) button.addEventListener("click", () => one("#ask", HTMLDialogElement).close());
