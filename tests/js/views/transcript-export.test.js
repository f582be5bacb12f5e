import assert from "node:assert/strict";
import { test } from "node:test";

import { plainText } from "../../../sessions/static/sessions/views/transcript-export.js";

process.env.TZ = "America/New_York";
const WORDS = {
  es: {
    title: "Conversación con Lucía",
    you: "Tú",
    voice: "por voz",
    read: "para leer en voz alta",
    interrupted: "interrumpida",
    copied: "",
  },
  en: {
    title: "Conversation with Lucía",
    you: "You",
    voice: "by voice",
    read: "to be read aloud",
    interrupted: "interrupted",
    copied: "",
  },
};
const at = new Date(2026, 9, 21, 10, 24).getTime();
const LINES = [
  { who: "avatar", by: "voice", text: "Hola.", at, stage: "said", isRead: false, isInterrupted: true },
  { who: "user", by: "voice", text: "¿Cómo estás?", at, stage: "said", isRead: false, isInterrupted: false },
  { who: "user", by: "text", text: "Uno.", at, stage: "said", isRead: true, isInterrupted: false },
  { who: "user", by: "text", text: "Nunca enviado.", at, stage: "failed", isRead: false, isInterrupted: false },
];

test("the plain transcript has time, speaker, kind and interruptions, and omits unsent texts", () => {
  assert.equal(
    plainText(LINES, "Lucía", WORDS.es, "es"),
    "Conversación con Lucía, 21 de octubre de 2026 (America/New York)\n\n" +
      "[10:24] Lucía (interrumpida): Hola.\n[10:24] Tú (por voz): ¿Cómo estás?\n[10:24] Tú (para leer en voz alta): Uno.\n",
  );
  const [title, , first] = plainText(LINES, "Lucía", WORDS.en, "en").split("\n");
  assert.equal(title, "Conversation with Lucía, October 21, 2026 (America/New York)");
  assert.equal(first, "[10:24] Lucía (interrupted): Hola.");
});

for (const lineBreak of ["\n", "\r", "\r\n\r\n", "\u0085", "\u2028", "\v", "\u001d"]) {
  test(`a line with ${JSON.stringify(lineBreak)} does not look like two`, () => {
    const line = {
      who: "user",
      by: "text",
      text: `Hola${lineBreak}[10:24] Lucía: Sí.`,
      at,
      stage: "said",
      isRead: false,
      isInterrupted: false,
    };
    assert.deepEqual(plainText([line], "Lucía", WORDS.es, "es").split("\n").slice(2), [
      "[10:24] Tú: Hola [10:24] Lucía: Sí.",
      "",
    ]);
  });
}

test("a text that runs from right to left does not move the time and the speaker", () => {
  const line = { ...LINES[1], by: "text", text: "مرحبا! كيف حالك؟" };
  const last = plainText([line], "Lucía", WORDS.es, "es").trimEnd().split("\n").at(-1);
  assert.equal(last, "[10:24] Tú: \u2068مرحبا! كيف حالك؟\u2069");
});
