/** The room's page: finds the parts, wires them together, draws what changed. */

import { Conversation } from "./conversation/conversation.js";
import { sendLeaveBeacon } from "./conversation/leave-beacon.js";
import { SavedSession } from "./conversation/saved-session.js";
import { goOn, prepare } from "./conversation/start.js";
import { face } from "./conversation/state.js";
import { recallCheck } from "./device-check/last-check.js";
import { all, on, one, showOnly } from "./lib/dom.js";
import { LiveKit } from "./lib/livekit.js";
import { readCapabilities, readWords } from "./lib/page-data.js";
import { PortalSocket } from "./lib/socket.js";
import { browserFacts } from "./recovery/browser-facts.js";
import { FrameWatch } from "./recovery/frame-watch.js";
import { LOOK_MS } from "./recovery/recovery.js";
import { AvatarRoom } from "./room/room.js";
import { setUpAfterEnd } from "./views/after-end.js";
import { BarView } from "./views/bar.js";
import { CaptionView } from "./views/caption.js";
import { ChatView } from "./views/chat.js";
import { setUpLanguageSwitch, takeOver } from "./views/language-switch.js";
import { OutcomeView } from "./views/outcome.js";
import { encodingPreference, QualityChoice } from "./views/quality-choice.js";
import { QueueView } from "./views/queue.js";
import { RecoveryView } from "./views/recovery.js";
import { StageView } from "./views/stage.js";
import { plainText, setUpTranscriptExport } from "./views/transcript-export.js";
import { setUpVoice } from "./voice/setup.js";

const page = document.body;
const { persona = "", name = "", socket: socketPath = "", livekitUrl = "", signIn = "/" } = page.dataset;
const handedOver = takeOver(sessionStorage, persona); // from the page of another language
const continues = handedOver.sessionId || page.dataset.continues || "";
const language = document.documentElement.lang;
const words = readWords();

const conversation = new Conversation({
  memory: new SavedSession(sessionStorage, socketPath),
  newRef: () => Date.now().toString(36) + Math.random().toString(36).slice(2),
  onChange: draw,
});
const stage = new StageView();
const captions = new CaptionView(conversation, stage.audio);
const bar = new BarView(words);
const outcome = new OutcomeView(words);
const queue = new QueueView(words.queue);
const quality = new QualityChoice(localStorage, ({ timeStamp }) =>
  goOn(conversation, timeStamp, { ...quality.wish(), ...encodingPreference() }),
);
const ladder = new RecoveryView(words);
const watch = new FrameWatch(stage.video);
const chat = new ChatView({
  onSay: (kind, text) => conversation.say(kind, text),
  onRetry: (ref) => conversation.retry(ref),
  onTyping: () => {
    if (conversation.state.warning?.why === "idle") conversation.stay();
  },
});
const onFaceChanged = setUpAfterEnd(conversation, watch.rate);
const room = new AvatarRoom({
  LiveKit,
  video: stage.video,
  audio: stage.audio,
  onEvent: (event) => {
    conversation.onRoomEvent(event);
    voice.onRoomEvent(event);
  },
  isDark: () => watch.looksDark(),
});
const voice = setUpVoice({ conversation, room, can: readCapabilities(), storage: localStorage });
const socket = new PortalSocket(socketAddress(), {
  onMessage: (message) => conversation.onMessage(message),
  onOpen: () => {
    conversation.onSocketOpen();
    prepareRoom();
  },
  onDrop: () => conversation.onSocketDrop(),
  onRefused: (code) => {
    if (!conversation.onAccessLost(code)) leavePage(code); // else the page says why, and Try again leads on
  },
});

/** @param {number} code */
function leavePage(code) {
  // Signed out: come back here afterwards. Unpublished, or a factor is missing: reloading says so.
  location.assign(code === 4401 ? `${signIn}?next=${encodeURIComponent(location.pathname)}` : location.href);
}

/** @type {import("./conversation/state.js").Face} */
let shown = "ready";

function draw() {
  const now = face(conversation.state);
  stage.draw(conversation, now);
  captions.draw();
  bar.draw(conversation);
  outcome.draw(conversation, now);
  queue.draw(conversation.state, now);
  ladder.draw(conversation);
  chat.draw(conversation.transcript);
  if (now === shown) return;
  const before = shown;
  shown = now;
  page.dataset.state = now;
  showOnly("data-when", now);
  moveFocus(before, now);
  voice.onFace();
  onFaceChanged(now);
}

/**
 * Whoever uses a keyboard or a screen reader is taken to what the new state asks for.
 *
 * @param {import("./conversation/state.js").Face} before
 * @param {import("./conversation/state.js").Face} now
 */
function moveFocus(before, now) {
  const isWriting = document.activeElement === chat.text;
  if (now === "ended") one("#over", HTMLElement).focus();
  else if (now === "failed") one("#cause", HTMLElement).focus();
  else if (now === "take-over" || now === "taken-over") focusFirst(`[data-when="${now}"] .btn--primary`);
  else if (now === "ending" && !isWriting) focusFirst("#warning button");
  else if (now === "tap" && !isWriting) focusFirst("#tap");
  else if (now === "connecting" || (now === "live" && before !== "ending" && !isWriting)) {
    // Where one types on the screen, its keyboard would cover half the page unasked.
    (matchMedia("(pointer: fine)").matches ? chat.text : one("[role=log]", HTMLElement)).focus({ preventScroll: true });
  }
}

/** @param {string} selector */
function focusFirst(selector) {
  const wanted = [...document.querySelectorAll(selector)].findLast((one) => one instanceof HTMLElement && !one.hidden);
  if (wanted instanceof HTMLElement) wanted.focus();
}

/**
 * @param {Event} event
 * @param {import("./conversation/start.js").StartOptions} [more]
 */
function start(event, more = {}) {
  if (socket.refusedWith) return leavePage(socket.refusedWith);
  performance.mark("start", { startTime: event.timeStamp });
  conversation.start(event.timeStamp, { ...quality.wish(), ...encodingPreference(), ...more });
}

/** The conversation on the other device goes on here, if it is with the same person, in whatever language. */
function there() {
  const { other } = conversation.state;
  const slugs = [persona, ...all("[data-language]").map(({ dataset }) => dataset.language)];
  return other?.id && slugs.includes(other.slug) ? { continues: other.id } : {};
}

/** The conversation that the next one goes on with. */
function before() {
  const { session } = conversation.state;
  if (session?.reason === "duration_limit") return {}; // its time is up: the next one is another conversation
  const id = session?.id ?? continues;
  return id ? { continues: id } : {};
}

function prepareRoom() {
  if (!document.hidden) prepare(conversation); // a page that nobody reads needs no room
}

function socketAddress() {
  const address = new URL(`${socketPath}?lang=${language}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}

on("#start, #retry, #continue", "click", (event) => start(event, before()));
on("#again", "click", (event) => start(event));
on("#bring", "click", (event) => start(event, { ...there(), take_over: true }));
on("#fetch", "click", (event) => start(event, { ...before(), take_over: true }));
on("#cancel, #end, #end-now, [data-end], #leave-line", "click", () => conversation.stop());
on("#leave-there", "click", () => conversation.dispatch({ type: "forget" }));
on("#start, #again, #retry, #continue", "pointerenter", prepareRoom);
document.addEventListener("visibilitychange", prepareRoom);
on("#sound-only", "click", () => conversation.recovery.happen("settle"));
on("[data-again]", "click", () => conversation.recovery.happen("again"));
on("#stay", "click", () => conversation.stay());
on("#interrupt", "click", () => conversation.interrupt());
on("#tap, #tap-picture", "click", () => void room.unblock());
// A reload comes back within the grace, a page out of the browser's memory joins again.
addEventListener("pagehide", () =>
  sendLeaveBeacon(conversation, one("[name=csrfmiddlewaretoken]", HTMLInputElement).value),
);
addEventListener("pageshow", ({ persisted }) => persisted && conversation.onShownAgain());
setUpLanguageSwitch(sessionStorage, () => ({
  sessionId: conversation.state.session?.id ?? "",
  unsent: conversation.outbox.waiting,
}));
setUpTranscriptExport({
  text: () => plainText(conversation.transcript.lines, name, words.transcript, language),
  fileName: () => `${persona}-${new Date(conversation.now()).toISOString().slice(0, 16).replaceAll(":", "")}.txt`,
  words: words.transcript,
});
setInterval(() => conversation.state.session && draw(), 1_000);

page.dispatchEvent(new CustomEvent("room:open", { detail: { conversation, room, socket } }));
conversation.lastCheck = () => recallCheck(Date.now());
conversation.recovery.look = () => browserFacts(watch);
setInterval(() => conversation.recovery.tick(), LOOK_MS);
one("#insecure", HTMLElement).hidden = isSecureContext;

conversation.open(socket, room);
room.warmUp(livekitUrl);
if (handedOver.sessionId) start(new Event("goes-on"), { continues, because: "user_stopped" });
for (const { kind, text } of handedOver.unsent) conversation.say(kind, text);
