import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { solve } from "../../../sessions/static/sessions/embed/challenge.js";
import { GuestAccess } from "../../../sessions/static/sessions/embed/guest-access.js";

/** The portal's answers, one after the other; and what the page asked. */
function portal(...answers) {
  const asked = [];
  const send = async (_url, { body }) => {
    asked.push(JSON.parse(body));
    const { status = 200, ...content } = answers.shift() ?? { status: 500 };
    return { status, json: async () => content };
  };
  return { asked, send };
}

function storage(kept = {}) {
  return {
    kept,
    getItem: (key) => kept[key] ?? null,
    setItem: (key, value) => (kept[key] = value),
    removeItem: () => {},
  };
}

function access({ send }, { link = "", store = storage() } = {}) {
  return new GuestAccess({ url: "/embed/x/visit", link, storage: store, site: async () => "https://site.test", send });
}

test("a page keeps its visit, so that a reload makes no other guest", async () => {
  const store = storage();
  const first = portal({ token: "t1", visit: "v1" });
  assert.deepEqual(await access(first, { store }).authorize(), ["portal.guest", "t1"]);
  assert.deepEqual(first.asked, [{ origin: "https://site.test", link: "", visit: "" }]);
  const second = portal({ token: "t2", visit: "v1" });
  await access(second, { store }).authorize();
  assert.equal(second.asked[0].visit, "v1");
});

test("a visit that the portal no longer accepts is dropped once", async () => {
  const stale = storage({ "visit:/embed/x/visit:": "old" });
  const answers = portal({ status: 403, code: "token_invalid" }, { token: "t", visit: "new" });
  assert.deepEqual(await access(answers, { store: stale }).authorize(), ["portal.guest", "t"]);
  assert.deepEqual(
    answers.asked.map(({ visit }) => visit),
    ["old", ""],
  );
});

test("a refusal is final, a used-up budget is not, and both say why", async () => {
  for (const [status, code] of [
    [403, 4403],
    [404, 4403],
    [429, 4429],
  ]) {
    const refused = await access(portal({ status, words: "No.", wait_seconds: 7 }))
      .authorize()
      .catch((refusal) => refusal);
    assert.equal(refused.code, code);
    assert.deepEqual(
      [refused.message.words, refused.message.wait_seconds, refused.message.about],
      ["No.", 7, "connect"],
    );
  }
  const send = () => Promise.reject(new TypeError("offline"));
  assert.deepEqual(
    await access({ send })
      .authorize()
      .catch((refusal) => refusal),
    { code: 4503 },
  );
});

test("a link's page names no site", async () => {
  const answers = portal({ token: "t", visit: "v" });
  await access(answers, { link: "signed" }).authorize();
  assert.deepEqual(answers.asked, [{ origin: "", link: "signed", visit: "" }]);
});

test("a challenge is answered with a number whose hash begins with enough zeros", async () => {
  const challenge = { kind: "work", seed: "seed", bits: 8 };
  const answers = portal({ status: 400, code: "challenge_needed", challenge }, { token: "t", visit: "v" });
  await access(answers).authorize();
  const { answer } = answers.asked[1];
  assert.deepEqual(answer, await solve(challenge));
  assert.equal(createHash("sha256").update(`seed.${answer.number}`).digest()[0], 0);
});
