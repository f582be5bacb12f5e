// The emulator's own page: shows its sessions each second, and orders faults by hand.

const SWITCHES = {
  "No picture": { kind: "no_video" },
  "No sound": { kind: "no_audio" },
  Black: { kind: "black" },
  Freeze: { kind: "frozen" },
  Leave: { kind: "leaves", seconds: 0 },
  "Lose packets": { kind: "packets", packets: "lost" },
  "Delete room": { kind: "room_deleted" },
};

const byId = (id) => document.getElementById(id);

/** Have something done; a refusal stays to be read until the next attempt. */
async function order(method, path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: JSON.stringify(body) });
  const answer = await response.json();
  byId("said").textContent = response.ok ? "" : (answer.error ?? answer.message);
}

async function read(path) {
  return (await fetch(path)).json();
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
  const { service, state, avatar_id: avatar } = session;
  const cells = [session.session_id.slice(0, 8), service, state, avatar, people, `${Math.round(session.ends_in)} s`];
  row.append(...cells.map((text) => element("td", text)));
  const switches = element("div", "", "row");
  for (const [name, fault] of Object.entries(SWITCHES)) {
    switches.append(button(name, () => order("POST", "faults", { ...fault, session: session.session_id })));
  }
  switches.append(button("Mend", () => order("DELETE", `sessions/${session.session_id}/faults`)));
  switches.append(button("End", () => order("POST", `sessions/${session.session_id}/end`)));
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
  const often = times === null ? `for ever, ${happened} so far` : `${happened} of ${times}`;
  const item = element("li", [kind, ...scope, ...chosen, often].filter(Boolean).join(", "));
  item.append(button("Mend", () => order("DELETE", `faults/${id}`)));
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
  byId("nobody").hidden = sessions.length > 0;
  // A button that has the focus is being used: its row stays until it is left.
  if (!byId("sessions").contains(document.activeElement)) byId("sessions").replaceChildren(...sessions.map(sessionRow));
  if (!byId("faults").contains(document.activeElement)) byId("faults").replaceChildren(...faults.map(faultItem));
  byId("requests").replaceChildren(...requests.slice(-50).reverse().map(requestRow));
  const select = byId("fault").elements.kind;
  if (!select.length) select.append(...Object.keys(kinds).map((kind) => element("option", kind)));
}

function wish(form) {
  const { kind, values, on, times, share } = Object.fromEntries(new FormData(form));
  const scope = { on, times: times ? Number(times) : null, share: Number(share) };
  return { kind, ...scope, ...(values ? JSON.parse(values) : {}) };
}

byId("fault").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await order("POST", "faults", wish(event.target));
  } catch (error) {
    byId("said").textContent = error.message;
    return;
  }
  await show();
});
byId("mend").addEventListener("click", () => order("DELETE", "faults").then(show));
byId("reset").addEventListener("click", () => order("POST", "reset").then(show));
for (const mover of document.querySelectorAll("[data-move]")) {
  mover.addEventListener("click", () => order("POST", "clock", { move: Number(mover.dataset.move) }).then(show));
}

show();
setInterval(
  () =>
    show().catch((error) => {
      byId("said").textContent = error.message;
    }),
  1000,
);
