import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Announcements } from "../../../sessions/static/sessions/conversation/announcements.js";
import { Transcript } from "../../../sessions/static/sessions/conversation/transcript.js";

let transcript, announcements;

beforeEach(() => {
  transcript = new Transcript();
  announcements = new Announcements();
});

const next = (now = 0) => announcements.next(transcript.lines, now).map(({ who, text }) => `${who}: ${text}`);
const stored = (more) =>
  transcript.stored({
    utteranceId: "1",
    isRead: false,
    isInterrupted: false,
    isReported: false,
    isDelivered: true,
    taskId: "",
    ...more,
  });

test("the avatar's sentences are announced whole and once, however many fragments they arrive in", () => {
  const announced = [];
  for (const fragment of ["Abrimos ", "a las 9.", "30. ", "¿Te ", "va ", "bien? ", "Di", "me."]) {
    transcript.spoken("t1", fragment, 0);
    announced.push(...next());
  }
  assert.deepEqual(announced, ["avatar: Abrimos a las 9.30.", "avatar: ¿Te va bien?"]);
  transcript.finished("t1", "");
  assert.deepEqual(next(), ["avatar: Dime."]);
  stored({ who: "avatar", by: "voice", text: "Abrimos a las 9.30. ¿Te va bien? Dime.", at: 0, taskId: "t1" });
  assert.deepEqual(next(), []);
});

test("sentences of scripts without spaces are announced too", () => {
  transcript.spoken("t1", "今日は天気がいい。散歩に", 0);
  assert.deepEqual(next(), ["avatar: 今日は天気がいい。"]);
});

test("a line that arrives whole is announced, and earlier lines of a conversation are not", () => {
  stored({ who: "avatar", by: "voice", text: "Hace un rato.", at: 0 });
  stored({ utteranceId: "2", who: "user", by: "voice", text: "Eso dije.", at: 1_000 });
  assert.deepEqual(next(60_000), []);
  stored({ utteranceId: "3", who: "avatar", by: "voice", text: "Ahora.", at: 59_000 });
  stored({ utteranceId: "4", who: "user", by: "voice", text: "Ahora digo.", at: 59_500 });
  assert.deepEqual(next(60_000), ["avatar: Ahora.", "user: Ahora digo."]);
});

test("typed texts are announced only when they fail, each time they do", () => {
  const item = { ref: "r1", kind: "talk", text: "Hola", delivery: "sending", why: "" };
  transcript.written(item, 0);
  assert.deepEqual(next(), []);
  transcript.written({ ...item, delivery: "failed", why: "No hay sitio." }, 0);
  assert.deepEqual([next(), next()], [["failure: No hay sitio."], []]);
  transcript.retried("r1", { ...item, ref: "r2" }, 0);
  next();
  transcript.written({ ...item, ref: "r2", delivery: "failed", why: "Otra vez." }, 0);
  assert.deepEqual(next(), ["failure: Otra vez."]);
});
