/** The room's page: creates the parts, connects them, and draws the state when it changes. */

import { Conversation } from "./conversation/conversation.js";
import { sendLeaveBeacon } from "./conversation/leave-beacon.js";
import { SavedSession } from "./conversation/saved-session.js";
import { isOpen, screenOf } from "./conversation/state.js";
import { ScreenWakeLock } from "./conversation/wake-lock.js";
import { recallCheck } from "./device-check/last-check.js";
import { GuestPage } from "./embed/guest-page.js";
import { all, on, one, showOnly } from "./lib/dom.js";
import { LiveKit } from "./lib/livekit.js";
import { readCapabilities, readWords } from "./lib/page-data.js";
import { PortalSocket } from "./lib/socket.js";
import { NO_STORAGE, storageOr } from "./lib/storage.js";
import { browserFacts } from "./recovery/browser-facts.js";
import { FrameWatch, isUnseen } from "./recovery/frame-watch.js";
import { TICK_MS } from "./recovery/recovery.js";
import { AvatarRoom } from "./room/room.js";
import { SoundWatch } from "./room/sound-watch.js";
import { setUpAfterEnd } from "./views/after-end.js";
import { AnnouncerView } from "./views/announcer.js";
import { BarView } from "./views/bar.js";
import { CaptionView } from "./views/caption.js";
import { ChatView } from "./views/chat.js";
import { ComposerView } from "./views/composer.js";
import { ConsentView } from "./views/consent.js";
import { setUpLanguageSwitch, takeHandover } from "./views/language-switch.js";
import { OutcomeView } from "./views/outcome.js";
import { encodingPreference, QualityChoice } from "./views/quality-choice.js";
import { QueueView } from "./views/queue.js";
import { RecoveryView } from "./views/recovery.js";
import { StageView } from "./views/stage.js";
import { plainText, setUpTranscriptExport } from "./views/transcript-export.js";
import { setUpVoice } from "./voice/setup.js";

const page = document.body;
const { persona = "", name = "", socket: socketPath = "", livekitUrl = "", signIn = "/" } = page.dataset;
const guest = page.dataset.guest ? new GuestPage(page) : null;
// A frame may have no storage, and a kiosk keeps nothing.
const tabStorage = guest && !guest.keepsSession ? NO_STORAGE : storageOr(() => sessionStorage);
const deviceStorage = guest && !guest.keepsSession ? NO_STORAGE : storageOr(() => localStorage);
const handedOver = takeHandover(tabStorage, persona); // from the persona's page in another language
const continues = handedOver.sessionId || page.dataset.continues || "";
const language = document.documentElement.lang;
const words = readWords();

const stage = new StageView();
const frames = new FrameWatch(stage.video);
const sound = new SoundWatch(
  (at) => conversation.firstSound.heard(at),
  () => conversation.firstSound.forget(),
);
const wakeLock = new ScreenWakeLock(navigator.wakeLock, document);
const conversation = new Conversation({
  savedSession: new SavedSession(tabStorage, socketPath),
  newRef: () => Date.now().toString(36) + Math.random().toString(36).slice(2),
  onChange: draw,
  onLeave: (isContinued) => {
    sound.close();
    voice.onLeave(isContinued);
  },
  onWatchSound: (isWatched) => sound.watch(isWatched),
  readCheck: () => recallCheck(Date.now()),
  readBrowser: () => browserFacts(frames),
  isUnseen: () => isUnseen(document, stage.video),
});
const announcer = new AnnouncerView(words.transcript);
const captions = new CaptionView(conversation, stage.audio);
const consent = new ConsentView();
const contactModule = await moduleOf("#contact");
const contact =
  contactModule && new contactModule.ContactView((/** @type {any} */ message) => conversation.send(message));
const bar = new BarView(words);
const outcome = new OutcomeView(words);
const queue = new QueueView(words.queue);
const recovery = new RecoveryView(words);
const quality = new QualityChoice(deviceStorage, ({ timeStamp }) => conversation.restart(timeStamp, videoOptions()));
const chat = new ChatView((ref) => conversation.retry(ref));
const can = readCapabilities();
const composer = new ComposerView(can.text_limits, {
  onSay: (kind, text) => conversation.say(kind, text),
  onTyping: () => {
    if (conversation.state.warning?.why === "idle") conversation.stay();
  },
});
const afterEnd = setUpAfterEnd(conversation, frames.rate);
const room = new AvatarRoom({
  LiveKit,
  video: stage.video,
  audio: stage.audio,
  onEvent: (event) => {
    conversation.onRoomEvent(event);
    voice.onRoomEvent(event);
  },
  isDark: () => frames.isFrameDark(),
  onAudio: (track) => sound.listen(track),
});
const voice = setUpVoice({ conversation, room, audio: stage.audio, can, storage: deviceStorage });
const socket = new PortalSocket(
  socketAddress(),
  {
    onMessage: (message) => {
      if (!contact?.takes(message)) conversation.onMessage(message);
    },
    onOpen: () => {
      conversation.onSocketOpen();
      prepareRoom();
    },
    onDrop: () => conversation.onSocketDrop(),
    onRefused: (code) => {
      // If the page shows a reason, it is left only when the user tries again. A guest's page always shows one.
      if (!conversation.onAccessLost(code) && !guest) leavePage(code);
    },
  },
  undefined,
  guest ? () => guest.authorize() : undefined,
);
guest?.attach(conversation);

/**
 * Load the view of a part of the page that few personas have.
 *
 * @param {string} selector
 * @returns {Promise<any>}
 */
async function moduleOf(selector) {
  const part = document.querySelector(selector);
  return part instanceof HTMLElement ? import(String(part.dataset.module)) : undefined;
}

/** @param {number} code */
function leavePage(code) {
  if (guest) return location.reload();
  // Signed out: return here after signing in. No longer published, or a second factor is missing: a reload shows it.
  location.assign(code === 4401 ? `${signIn}?next=${encodeURIComponent(location.pathname)}` : location.href);
}

/** @type {import("./conversation/state.js").Screen} */
let shown = "ready";

function draw() {
  const now = screenOf(conversation.state);
  stage.draw(conversation, now);
  captions.draw();
  bar.draw(conversation);
  outcome.draw(conversation, now);
  queue.draw(conversation.state, now);
  recovery.draw(conversation);
  chat.draw(conversation.transcript);
  announcer.draw(conversation.transcript.lines, conversation.now());
  wakeLock.keep(isOpen(conversation.state));
  guest?.draw(now);
  if (now === shown) return consent.draw(conversation.state);
  const before = shown;
  shown = now;
  page.dataset.state = now;
  showOnly("data-when", now);
  composer.fit(); // it may have been hidden
  moveFocus(before, now);
  voice.onFace();
  afterEnd(now);
  consent.draw(conversation.state); // last, because it moves the focus
}

/**
 * Move the focus of keyboards and screen readers to what the new state asks for.
 *
 * @param {import("./conversation/state.js").Screen} before
 * @param {import("./conversation/state.js").Screen} now
 */
function moveFocus(before, now) {
  const isWriting = document.activeElement === composer.text;
  if (now === "ended") one("#over", HTMLElement).focus();
  else if (now === "failed") one("#cause", HTMLElement).focus();
  else if (now === "take-over" || now === "taken-over") focusLast(`[data-when="${now}"] .btn--primary`);
  else if (now === "ending" && !isWriting) focusLast("#warning button");
  else if (now === "tap" && !isWriting) focusLast("#tap");
  else if (now === "connecting" || (now === "live" && before !== "ending" && !isWriting)) {
    // On a touch screen, focusing the text would open a keyboard over half the page.
    const target = matchMedia("(pointer: fine)").matches ? composer.text : one("[role=log]", HTMLElement);
    target.focus({ preventScroll: true });
  }
}

/** @param {string} selector */
function focusLast(selector) {
  all(selector)
    .findLast((element) => !element.hidden)
    ?.focus();
}

/**
 * @param {Event} event
 * @param {import("./conversation/state.js").StartOptions} [options]
 */
function start(event, options = {}) {
  if (socket.refusedWith) return leavePage(socket.refusedWith);
  if (shown === "ready" && !consent.check()) return;
  performance.mark("start", { startTime: event.timeStamp });
  conversation.start(event.timeStamp, { ...videoOptions(), ...consent.options, ...options });
}

/** @returns {import("./conversation/state.js").StartOptions} */
function videoOptions() {
  return { ...quality.choice(), ...encodingPreference(), ...guest?.startOptions };
}

/**
 * Continue the conversation of another tab or device, if it is with this persona in any language.
 *
 * @returns {import("./conversation/state.js").StartOptions}
 */
function continueElsewhere() {
  const { elsewhere } = conversation.state;
  const slugs = [persona, ...all("[data-language]").map(({ dataset }) => dataset.language)];
  return elsewhere?.id && slugs.includes(elsewhere.slug) ? { continues: elsewhere.id } : {};
}

/**
 * Continue this page's last conversation.
 *
 * @returns {import("./conversation/state.js").StartOptions}
 */
function continueLast() {
  const { session } = conversation.state;
  if (session?.reason === "duration_limit") return {}; // its time is used up: start another conversation
  const id = session?.id ?? continues;
  return id ? { continues: id } : {};
}

function prepareRoom() {
  if (!document.hidden && !guest) conversation.prepare();
}

function socketAddress() {
  const address = new URL(`${socketPath}?lang=${language}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}

on("#start, #retry, #continue", "click", (event) => start(event, continueLast()));
on("#again", "click", (event) => start(event));
on("#bring", "click", (event) => start(event, { ...continueElsewhere(), take_over: true }));
on("#fetch", "click", (event) => start(event, { ...continueLast(), take_over: true }));
on("#cancel, #end, #end-now, [data-end], #leave-line", "click", () => conversation.stop());
on("#leave-there", "click", () => conversation.dispatch({ type: "forget" }));
on("#start, #again, #retry, #continue", "pointerenter", prepareRoom);
document.addEventListener("visibilitychange", prepareRoom);
on("#sound-only", "click", () => conversation.recovery.settle());
on("[data-again]", "click", () => conversation.recovery.again());
on("#stay", "click", () => conversation.stay());
on("#interrupt", "click", () => conversation.interrupt());
on("#tap, #tap-picture", "click", () => void room.unblock());
// After a reload the new page rejoins within the grace period; a page from the back-forward cache rejoins by itself.
addEventListener("pagehide", () => {
  if (guest) return guest.leave(conversation.state);
  sendLeaveBeacon(conversation.state, one("[name=csrfmiddlewaretoken]", HTMLInputElement).value);
});
addEventListener("pageshow", ({ persisted }) => persisted && conversation.onShownAgain());
setUpLanguageSwitch(tabStorage, () => ({
  sessionId: conversation.state.session?.id ?? "",
  unsent: conversation.outbox.waiting,
}));
(await moduleOf(".starters"))?.setUpStarters(conversation);
setUpTranscriptExport({
  text: () => plainText(conversation.transcript.lines, name, words.transcript, language),
  fileName: () => `${persona}-${new Date(conversation.now()).toISOString().slice(0, 16).replaceAll(":", "")}.txt`,
  words: words.transcript,
});
setInterval(() => conversation.state.session && draw(), 1_000);

page.dispatchEvent(new CustomEvent("room:open", { detail: { conversation, room, socket } }));
setInterval(() => conversation.tick(), TICK_MS);
one("#insecure", HTMLElement).hidden = isSecureContext;

conversation.open(socket, room);
room.warmUp(livekitUrl);
if (handedOver.sessionId) start(new Event("handed-over"), { continues, because: "user_stopped" });
for (const { kind, text } of handedOver.unsent) conversation.say(kind, text);
