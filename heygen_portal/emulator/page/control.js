// The emulator's control page: lists sessions every second and injects faults.

const SWITCHES = {
  "No video": { kind: "no_video" },
  "No audio": { kind: "no_audio" },
  "Black video": { kind: "black" },
  "Freeze video": { kind: "frozen" },
  Leave: { kind: "leaves", seconds: 0 },
  "Lose packets": { kind: "packets", packets: "lost" },
  "Delete room": { kind: "room_deleted" },
};

const byId = (id) => document.getElementById(id);

/** Call a control route. An error message stays until the next call. */
async function send(method, path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: JSON.stringify(body) });
  const answer = await response.json();
  byId("error").textContent = response.ok ? "" : (answer.error ?? answer.message);
}

async function read(path) {
  return (await fetch(path)).json();
}

function element(tag, text = "", className = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  return node;
}

function button(text, onClick) {
  const node = element("button", text);
  node.type = "button";
  node.addEventListener("click", async () => {
    await onClick();
    await show();
  });
  return node;
}

function sessionRow(session) {
  const row = element("tr");
  const participants = session.in_room === null ? "LiveKit does not respond" : session.in_room.join(", ");
  const { service, state, avatar_id: avatar } = session;
  const cells = [
    session.session_id.slice(0, 8),
    service,
    state,
    avatar,
    participants,
    `${Math.round(session.ends_in)} s`,
  ];
  row.append(...cells.map((text) => element("td", text)));
  const switches = element("div", "", "row");
  for (const [name, fault] of Object.entries(SWITCHES)) {
    switches.append(button(name, () => send("POST", "faults", { ...fault, session: session.session_id })));
  }
  switches.append(button("Remove faults", () => send("DELETE", `sessions/${session.session_id}/faults`)));
  switches.append(button("End", () => send("POST", `sessions/${session.session_id}/end`)));
  row.append(element("td"));
  row.lastChild.append(switches);
  return row;
}

function faultItem({ id, kind, on, session, times, share, happened, ...values }) {
  const scope = [
    on && `on ${on}`,
    session && `session ${session.slice(0, 8)}`,
    share < 1 && `${share * 100} % of calls`,
  ];
  const chosen = Object.entries(values)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name} ${value}`);
  const count = times === null ? `until removed, ${happened} so far` : `${happened} of ${times}`;
  const item = element("li", [kind, ...scope, ...chosen, count].filter(Boolean).join(", "));
  item.append(button("Remove", () => send("DELETE", `faults/${id}`)));
  return item;
}

function requestRow(request) {
  const row = element("tr");
  const status = String(request.status ?? "none");
  row.append(
    element("td", new Date(request.at * 1000).toLocaleTimeString()),
    element("td", `${request.method} ${request.path}`),
    element("td", status, status.startsWith("2") ? "" : "failed"),
    element("td", String(request.ms ?? "")),
    element("td", (request.faults ?? []).join(", ")),
  );
  return row;
}

async function show() {
  const [{ sessions }, { faults, kinds }, { requests }, clock] = await Promise.all(
    ["sessions", "faults", "requests", "clock"].map(read),
  );
  const moved = Math.round(clock.moved_by);
  byId("clock").textContent = new Date(clock.now * 1000).toLocaleTimeString() + (moved ? `, moved by ${moved} s` : "");
  byId("no-sessions").hidden = sessions.length > 0;
  // Rows are not replaced while one of their buttons has the focus.
  if (!byId("sessions").contains(document.activeElement)) byId("sessions").replaceChildren(...sessions.map(sessionRow));
  if (!byId("faults").contains(document.activeElement)) byId("faults").replaceChildren(...faults.map(faultItem));
  byId("requests").replaceChildren(...requests.slice(-50).reverse().map(requestRow));
  const select = byId("fault").elements.kind;
  if (!select.length) select.append(...Object.keys(kinds).map((kind) => element("option", kind)));
}

function faultFrom(form) {
  const { kind, values, on, times, share } = Object.fromEntries(new FormData(form));
  const scope = { on, times: times ? Number(times) : null, share: Number(share) };
  return { kind, ...scope, ...(values ? JSON.parse(values) : {}) };
}

byId("fault").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await send("POST", "faults", faultFrom(event.target));
  } catch (error) {
    byId("error").textContent = error.message;
    return;
  }
  await show();
});
byId("remove-all").addEventListener("click", () => send("DELETE", "faults").then(show));
byId("reset").addEventListener("click", () => send("POST", "reset").then(show));
for (const mover of document.querySelectorAll("[data-move]")) {
  mover.addEventListener("click", () => send("POST", "clock", { move: Number(mover.dataset.move) }).then(show));
}

show();
setInterval(
  () =>
    show().catch((error) => {
      byId("error").textContent = error.message;
    }),
  1000,
);
