import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { PortalSocket } from "../../../sessions/static/sessions/lib/socket.js";

/** A WebSocket's face towards the page, opened and closed by the test. */
class FakeSocket {
  readyState = 0;
  sent = [];
  send(text) {
    this.sent.push(JSON.parse(text).type);
  }
  opens() {
    this.readyState = 1;
    this.onopen();
  }
  hears(message) {
    this.onmessage({ data: JSON.stringify({ type: "error", code: "too_many_requests", ...message }) });
  }
  closes(code) {
    this.readyState = 3;
    this.onclose({ code });
  }
}

let lines, heard, socket;
beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  lines = [];
  heard = [];
  const hooks = {
    onMessage: (message) => heard.push(message.type),
    onOpen: (isAgain) => {
      heard.push(isAgain ? "open again" : "open");
      if (isAgain) socket.sendFirst({ type: "session.join" });
    },
    onDrop: () => heard.push("drop"),
    onRefused: (code) => heard.push(code),
  };
  socket = new PortalSocket("wss://portal/ws", hooks, () => {
    lines.push(new FakeSocket());
    return lines.at(-1);
  });
  socket.open();
});

test("messages before the socket opens are sent in order when it does", () => {
  socket.send({ type: "session.start" });
  socket.send({ type: "task.send" });
  lines[0].opens();
  assert.deepEqual(lines[0].sent, ["session.start", "task.send"]);
});

test("a dropped socket reconnects, and the join is sent before kept messages", () => {
  lines[0].opens();
  lines[0].closes(1006);
  socket.send({ type: "event.report" });
  mock.timers.tick(500);
  assert.equal(lines.length, 2);
  lines[1].opens();
  assert.deepEqual(lines[1].sent, ["session.join", "event.report"]);
  assert.deepEqual(heard, ["open", "drop", "open again"]);
});

test("reconnects back off", () => {
  for (let time = 0; time < 60; time += 1) {
    if (lines.at(-1).readyState === 0) lines.at(-1).closes(1006);
    mock.timers.tick(1_000);
  }
  assert.ok(lines.length > 5 && lines.length < 20, `${lines.length} tries in a minute`);
});

test("a final close code is reported and not retried", () => {
  lines[0].opens();
  lines[0].closes(4401);
  mock.timers.tick(60_000);
  assert.equal(lines.length, 1);
  assert.deepEqual(heard, ["open", 4401]);
});

test("invalid messages are dropped", () => {
  lines[0].opens();
  for (const data of ["", "[]", "null", "{", '{"type":5}', '{"type":"session.status"}']) lines[0].onmessage({ data });
  assert.deepEqual(heard, ["open", "session.status"]);
});

test("a socket refused by a budget is retried after the time that the portal names", () => {
  lines[0].opens();
  lines[0].hears({ about: "connect", wait_seconds: 30 });
  lines[0].closes(4429);
  mock.timers.tick(29_999);
  assert.equal(lines.length, 1);
  mock.timers.tick(601);
  assert.equal(lines.length, 2);
});

test("messages on a socket that the portal refused are sent on the next one", () => {
  socket.send({ type: "session.start" });
  lines[0].opens();
  socket.send({ type: "task.send" });
  lines[0].hears({ about: "connect", wait_seconds: 1 });
  lines[0].closes(4429);
  socket.send({ type: "event.report" });
  mock.timers.tick(1_500);
  lines[1].opens();
  assert.deepEqual(lines[1].sent, ["session.start", "task.send", "event.report"]);
  assert.deepEqual(heard, ["open", "error", "drop", "open"]);
});

test("messages that the portal has handled are not sent again", () => {
  socket.send({ type: "session.start" });
  lines[0].opens();
  lines[0].hears({ about: "session.join", wait_seconds: 2 });
  lines[0].closes(4429);
  mock.timers.tick(2_500);
  lines[1].opens();
  assert.deepEqual(lines[1].sent, ["session.join"]);
});

test("the time to wait of another refusal does not delay a reconnect", () => {
  lines[0].opens();
  lines[0].hears({ about: "task.send", wait_seconds: 30 });
  lines[0].closes(1006);
  mock.timers.tick(500);
  assert.equal(lines.length, 2);
});

test("a socket that needs access is opened with it, and a refusal is shown", async () => {
  const answers = [
    () => Promise.reject({ code: 4429, message: { type: "error", about: "connect", wait_seconds: 7 } }),
    () => Promise.resolve(["portal.guest", "token"]),
    () => Promise.reject({ code: 4403, message: { type: "error", about: "connect" } }),
  ];
  const opened = [];
  const hooks = {
    onMessage: ({ about }) => heard.push(about),
    onOpen: () => {},
    onDrop: () => heard.push("drop"),
    onRefused: (code) => heard.push(code),
  };
  const connect = (_url, protocols) => {
    opened.push(protocols);
    return new FakeSocket();
  };
  const guest = new PortalSocket("wss://portal/ws", hooks, connect, () => answers.shift()());
  guest.open();
  await settled();
  assert.deepEqual([heard, opened], [["connect", "drop"], []]);
  mock.timers.tick(7_500);
  await settled();
  assert.deepEqual(opened, [["portal.guest", "token"]]);
  guest.open();
  await settled();
  assert.deepEqual([heard.slice(2), guest.refusedWith], [["connect", 4403], 4403]);
});

async function settled() {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
}
