// The emulator's own page: shows its sessions each second, and orders faults by hand.

const SWITCHES = {
  "No picture": { kind: "no_video" },
  "No sound": { kind: "no_audio" },
  "Black": { kind: "black" },
  "Freeze": { kind: "frozen" },
  "Leave": { kind: "leaves", seconds: 0 },
  "Lose packets": { kind: "packets", packets: "lost" },
  "Delete room": { kind: "room_deleted" },
};

const byId = (id) => document.getElementById(id);

async function ask(path, { method = "GET", body } = {}) {
  const response = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const answer = await response.json();
  byId("said").textContent = response.ok ? "" : answer.error ?? answer.message;
  return answer;
}

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function button(text, onClick) {
  const made = element("button", text);
  made.type = "button";
  made.addEventListener("click", async () => {
    await onClick();
    await show();
  });
  return made;
}

function sessionRow(session) {
  const row = element("tr");
  const people = session.in_room === null ? "LiveKit does not answer" : session.in_room.join(", ");
  const cells = [session.session_id.slice(0, 8), session.state, session.avatar_id, people, `${Math.round(session.ends_in)} s`];
  row.append(...cells.map((text) => element("td", text)));
  const switches = element("td", "", "row");
  for (const [name, fault] of Object.entries(SWITCHES)) {
    switches.append(button(name, () => ask("faults", { method: "POST", body: { ...fault, session: session.session_id } })));
  }
  switches.append(button("End", () => ask(`sessions/${session.session_id}/end`, { method: "POST", body: {} })));
  row.append(switches);
  return row;
}

function faultItem(fault) {
  const item = element("li", JSON.stringify(fault));
  item.append(button("Mend", () => ask(`faults/${fault.id}`, { method: "DELETE" })));
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
    ["sessions", "faults", "requests", "clock"].map((path) => ask(path)),
  );
  const moved = Math.round(clock.moved_by);
  byId("clock").textContent = new Date(clock.now * 1000).toLocaleTimeString() + (moved ? `, moved by ${moved} s` : "");
  byId("nobody").hidden = sessions.length > 0;
  // A button that has the focus is being used: its row stays until it is left.
  if (!byId("sessions").contains(document.activeElement)) byId("sessions").replaceChildren(...sessions.map(sessionRow));
  if (!byId("faults").contains(document.activeElement)) byId("faults").replaceChildren(...faults.map(faultItem));
  byId("requests").replaceChildren(...requests.slice(-50).reverse().map(requestRow));
  const select = byId("fault").elements.kind;
  if (!select.length) select.append(...Object.keys(kinds).map((kind) => element("option", kind)));
}

function ordered(form) {
  const { kind, values, on, times, share } = Object.fromEntries(new FormData(form));
  const scope = { on, times: times ? Number(times) : null, share: Number(share) };
  return { kind, ...scope, ...(values ? JSON.parse(values) : {}) };
}

byId("fault").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask("faults", { method: "POST", body: ordered(event.target) });
  } catch (error) {
    byId("said").textContent = error.message;
    return;
  }
  await show();
});
byId("mend").addEventListener("click", () => ask("faults", { method: "DELETE" }).then(show));
byId("reset").addEventListener("click", () => ask("reset", { method: "POST", body: {} }).then(show));
for (const mover of document.querySelectorAll("[data-move]")) {
  mover.addEventListener("click", () => ask("clock", { method: "POST", body: { move: Number(mover.dataset.move) } }).then(show));
}

show();
setInterval(() => show().catch((error) => { byId("said").textContent = error.message; }), 1000);
