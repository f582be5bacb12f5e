/** The room's page: finds the parts, wires them together, draws what changed. */

import { setUpAftermath } from "./aftermath.js";
import { BarView } from "./bar-view.js";
import { CaptionView } from "./caption-view.js";
import { ChatView } from "./chat-view.js";
import { Conversation } from "./conversation.js";
import { all, on, one, showOnly } from "./dom.js";
import { sayGoodbye } from "./goodbye.js";
import { LadderView } from "./ladder-view.js";
import { setUpLanguages, takeOver } from "./languages.js";
import { recallCheck } from "./last-check.js";
import { LiveKit } from "./livekit.js";
import { Memory } from "./memory.js";
import { PictureWatch } from "./picture-watch.js";
import { LOOK_MS } from "./recovery.js";
import { AvatarRoom } from "./room.js";
import { encodingWish, QualityChoice } from "./quality-choice.js";
import { QueueView } from "./queue-view.js";
import { PortalSocket } from "./socket.js";
import { StageView } from "./stage-view.js";
import { goOn, prepare } from "./starting.js";
import { face } from "./state.js";
import { plainText, setUpTakingAlong } from "./take-along.js";
import { lookAround } from "./surroundings.js";
import { VerdictView } from "./verdict-view.js";
import { setUpVoice } from "./voice-setup.js";
import { readCapabilities, readWords } from "./words.js";

const page = document.body;
const { persona = "", name = "", socket: socketPath = "", livekitUrl = "", signIn = "/" } = page.dataset;
const handedOver = takeOver(sessionStorage, persona); // from the page of another language
const continues = handedOver.sessionId || page.dataset.continues || "";
const language = document.documentElement.lang;
const words = readWords();

const conversation = new Conversation({
  memory: new Memory(sessionStorage, socketPath),
  newRef: () => Date.now().toString(36) + Math.random().toString(36).slice(2),
  onChange: draw,
});
const stage = new StageView();
const captions = new CaptionView(conversation, stage.audio);
const bar = new BarView(words);
const verdicts = new VerdictView(words);
const queue = new QueueView(words.queue);
const quality = new QualityChoice(localStorage, ({ timeStamp }) => goOn(conversation, timeStamp, { ...quality.wish(), ...encodingWish() }));
const ladder = new LadderView(words);
const watch = new PictureWatch(stage.video);
const chat = new ChatView({
  onSay: (kind, text) => conversation.say(kind, text),
  onRetry: (ref) => conversation.retry(ref),
  onTyping: () => {
    if (conversation.state.warning?.why === "idle") conversation.stay();
  },
});
const tellAftermath = setUpAftermath(conversation, watch.rate);
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

/** @type {import("./state.js").Face} */
let shown = "ready";

function draw() {
  const now = face(conversation.state);
  stage.draw(conversation, now);
  captions.draw();
  bar.draw(conversation);
  verdicts.draw(conversation, now);
  queue.draw(conversation.state, now);
  ladder.draw(conversation);
  chat.draw(conversation.transcript.lines);
  if (now === shown) return;
  const before = shown;
  shown = now;
  page.dataset.state = now;
  showOnly("data-when", now);
  moveFocus(before, now);
  voice.onFace();
  tellAftermath(now);
}

/**
 * Whoever uses a keyboard or a screen reader is taken to what the new state asks for.
 *
 * @param {import("./state.js").Face} before
 * @param {import("./state.js").Face} now
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
 * @param {import("./starting.js").Wishes} [more]
 */
function start(event, more = {}) {
  if (socket.refusedWith) return leavePage(socket.refusedWith);
  performance.mark("start", { startTime: event.timeStamp });
  conversation.start(event.timeStamp, { ...quality.wish(), ...encodingWish(), ...more });
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
addEventListener("pagehide", () => sayGoodbye(conversation, one("[name=csrfmiddlewaretoken]", HTMLInputElement).value));
addEventListener("pageshow", ({ persisted }) => persisted && conversation.onShownAgain());
setUpLanguages(sessionStorage, () => ({ sessionId: conversation.state.session?.id ?? "", unsent: conversation.outbox.waiting }));
setUpTakingAlong({
  text: () => plainText(conversation.transcript.lines, name, words.transcript, language),
  fileName: () => `${persona}-${new Date(conversation.now()).toISOString().slice(0, 16).replaceAll(":", "")}.txt`,
  words: words.transcript,
});
setInterval(() => conversation.state.session && draw(), 1_000);

page.dispatchEvent(new CustomEvent("room:open", { detail: { conversation, room, socket } }));
conversation.lastCheck = () => recallCheck(Date.now());
conversation.recovery.look = () => lookAround(watch);
setInterval(() => conversation.recovery.tick(), LOOK_MS);
one("#insecure", HTMLElement).hidden = isSecureContext;

conversation.open(socket, room);
room.prepare(livekitUrl);
if (handedOver.sessionId) start(new Event("goes-on"), { continues, because: "user_stopped" });
for (const { kind, text } of handedOver.unsent) conversation.say(kind, text);
