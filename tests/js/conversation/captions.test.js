import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Captions } from "../../../sessions/static/sessions/conversation/captions.js";

/** @type {Captions} */
let captions;
beforeEach(() => {
  captions = new Captions();
});

const LINE = "El viernes hay dos huecos: a las cuatro y a las cinco y cuarto.";
const spoken = () => captions.caption.spoken;

test("words sent as they are spoken are shown as they arrive", () => {
  captions.begin("t1", 0);
  captions.add("t1", "El ", 0);
  assert.deepEqual(captions.caption, { spoken: "El", next: "" });
  assert.equal(captions.isAhead, false);
  captions.add("t1", "viernes ", 150);
  captions.advance(200);
  assert.equal(spoken(), "El viernes");
});

for (const [language, line] of [
  ["Spanish", LINE],
  ["English", "Let’s look at it together. Which month does not add up?"],
]) {
  test(`a text that arrives at once is spread over its speaking time, in ${language}`, () => {
    captions.add("t1", line, 0);
    captions.begin("t1", 100);
    assert.ok(spoken().split(" ").length <= 1);
    assert.equal(captions.isAhead, true);
    captions.advance(1_600);
    assert.ok(line.startsWith(spoken()));
    assert.equal(`${spoken()} ${captions.caption.next}`, line);
    assert.ok(spoken().length > 15 && spoken().length < 40, spoken());
    captions.advance(6_000);
    assert.deepEqual(captions.caption, { spoken: line, next: "" });
  });
}

test("no caption is shown before the avatar speaks", () => {
  captions.add("t1", LINE, 0);
  captions.advance(400);
  assert.equal(spoken(), "");
});

test("words are shown even if the start of speech was not reported", () => {
  captions.add("t1", "El ", 0);
  captions.add("t1", "viernes ", 3_000);
  assert.equal(spoken(), "El");
});

test("captions wait for a pause in the speech, but not for long", () => {
  captions.add("t1", LINE, 0);
  captions.begin("t1", 0);
  captions.advance(500, true);
  const before = spoken();
  for (let now = 600; now <= 1_500; now += 100) captions.advance(now, false);
  assert.equal(spoken(), before);
  for (let now = 1_600; now <= 8_000; now += 100) captions.advance(now, false);
  assert.equal(spoken(), LINE);
});

test("the end of speech completes the line, and the next one starts empty", () => {
  captions.begin("t1", 0);
  captions.add("t1", LINE, 0);
  captions.end("t1");
  assert.equal(spoken(), LINE);
  captions.begin("t2", 5_000);
  assert.equal(spoken(), "");
  captions.add("t2", "Adiós.", 5_000);
  assert.equal(spoken(), "Adiós.");
});

test("the end of another line changes nothing", () => {
  captions.begin("t1", 0);
  captions.add("t1", LINE, 0);
  captions.end("t0");
  assert.equal(captions.isSpeaking, true);
});

test("a long text is split into captions that later words do not change", () => {
  const words = [...Array(80).keys()].map((number) =>
    number % 12 === 11 ? `palabra${number}. ` : `palabra${number} `,
  );
  captions.begin("t1", 0);
  const shown = new Set();
  for (const [place, word] of words.entries()) {
    captions.add("t1", word, place * 400);
    captions.advance(place * 400 + 390);
    const caption = captions.caption.spoken;
    assert.ok(caption.length <= 96, caption);
    assert.ok(caption.endsWith(word.trim()), caption);
    shown.add(caption.split(" ")[0]);
  }
  assert.ok(shown.size < 16); // each caption grows; it does not move
});

test("without task IDs, a new line begins after the end of the previous one", () => {
  captions.begin("", 0);
  captions.add("", "Uno.", 0);
  captions.end("");
  captions.begin("", 2_000);
  captions.add("", "Dos.", 2_000);
  assert.equal(spoken(), "Dos.");
});

for (const [language, text] of [
  [
    "Chinese",
    "今天的天气非常好，我们可以一起去公园散步，然后在河边的咖啡馆里喝一杯热茶，再慢慢走回家。你觉得这个计划怎么样呢？",
  ],
  [
    "Japanese",
    "今日は天気がいいので、公園まで歩いて行きましょう。「それから駅前の店でお茶を飲みましょう」と友達に言いました。",
  ],
  ["Thai", "วันนี้อากาศดีมากเราไปเดินเล่นในสวนสาธารณะด้วยกันแล้วไปดื่มชาที่ร้านริมแม่น้ำก่อนกลับบ้านในตอนเย็นดีไหมครับเพราะพรุ่งนี้ฝนจะตก"],
]) {
  test(`a text without spaces is shown word by word, in captions that fit, in ${language}`, () => {
    captions.begin("t1", 0);
    captions.add("t1", text, 0);
    const shown = new Set();
    const longestMs = 200 * text.length; // three letters' time for each character, and a reserve
    for (let now = 100; now < longestMs; now += 100) {
      captions.advance(now);
      shown.add(captions.caption.spoken);
    }
    assert.ok(shown.size > 15, [...shown].join("\n"));
    for (const caption of shown) {
      const wide = language === "Thai" ? 96 : 48;
      assert.ok([...caption].filter((character) => !/\p{Mark}/u.test(character)).length <= wide, caption);
      assert.doesNotMatch(caption, /^[\p{Mark}。、，？」]|[「(]$/u);
    }
  });
}

test("a sentence of a script without spaces ends its caption", () => {
  const first = "今日は天気がいいので、公園まで歩いて行きましょう。";
  captions.begin("t1", 0);
  captions.add("t1", `${first}それから駅前の店でお茶を飲みましょう。`, 0);
  captions.advance(1_000);
  assert.equal(captions.caption.spoken + captions.caption.next, first);
});

test("a syllable takes longer to speak than a letter", () => {
  captions.begin("t1", 0);
  captions.add("t1", "今日は天気がいいので公園まで歩いて行きましょうと友達に言いましたがまだ返事がありません", 0);
  captions.advance(3_000); // about fifteen syllables
  assert.ok(spoken().length > 10 && spoken().length < 22, spoken());
});
