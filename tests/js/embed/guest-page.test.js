import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { GuestPage } from "../../../sessions/static/sessions/embed/guest-page.js";

const HREF = "https://portal.test/embed/link/signed/";

class FakeElement {
  hidden = false;
  dataset = {};
  focus() {}
  addEventListener() {}
}
class FakeInput extends FakeElement {
  checked = false;
}

const REPLACED = ["document", "window", "location", "sessionStorage", "fetch"];
const NAMES = { HTMLElement: FakeElement, HTMLButtonElement: FakeElement, HTMLInputElement: FakeInput };

/** Storage that says what was stored in it. */
function device() {
  const kept = {};
  return { kept, getItem: (key) => kept[key] ?? null, setItem: (key, value) => (kept[key] = value) };
}

/** @type {{ age: FakeInput, opened: string[], storage: ReturnType<typeof device> }} */
let browser;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  browser = { age: new FakeInput(), opened: [], storage: device() };
  const page = { addEventListener() {} };
  const values = {
    document: {
      addEventListener() {},
      querySelector: (selector) => (selector === "#age" ? browser.age : new FakeElement()),
      querySelectorAll: () => [],
    },
    window: { ...page, parent: null },
    location: { href: HREF, replace: (href) => browser.opened.push(href) },
    sessionStorage: browser.storage,
    fetch: async () => ({ status: 200, json: async () => ({ token: "t", visit: "v" }) }),
    ...NAMES,
  };
  values.window.parent = values.window;
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
});

afterEach(() => {
  mock.timers.reset();
  for (const name of [...REPLACED, ...Object.keys(NAMES)]) delete globalThis[name];
});

function guestPage(dataset) {
  const page = new GuestPage({ dataset: { guest: "/embed/x/visit", link: "signed", ...dataset } });
  page.attach({ state: { phase: "idle", session: null }, transcript: { lines: [] } });
  return page;
}

test("a kiosk keeps nothing on the device and starts over after the conversation, with a new visit", async () => {
  const kiosk = guestPage({ kiosk: "" });
  assert.deepEqual(await kiosk.authorize(), ["portal.guest", "t"]);
  assert.equal(kiosk.keepsSession, false);
  assert.deepEqual(browser.storage.kept, {});
  kiosk.draw("live");
  mock.timers.tick(60_000);
  assert.deepEqual(browser.opened, []);
  kiosk.draw("ended");
  mock.timers.tick(19_000);
  kiosk.draw("ended"); // drawn again: the wait goes on
  assert.deepEqual(browser.opened, []);
  mock.timers.tick(1_000);
  assert.deepEqual(browser.opened, [HREF]); // replaced, so that nobody can go back
});

test("a kiosk starts over after a start that failed", () => {
  guestPage({ kiosk: "" }).draw("failed");
  mock.timers.tick(20_000);
  assert.deepEqual(browser.opened, [HREF]);
});

test("another guest's page stays, and a reload brings the same guest", async () => {
  const page = guestPage({});
  await page.authorize();
  assert.equal(page.keepsSession, true);
  assert.deepEqual(Object.values(browser.storage.kept), ["v"]);
  page.draw("ended");
  mock.timers.tick(60_000);
  assert.deepEqual(browser.opened, []);
});

test("a start says that the guest confirmed the age, and only then", () => {
  const page = guestPage({});
  assert.deepEqual(page.startOptions, {});
  browser.age.checked = true;
  assert.deepEqual(page.startOptions, { age_confirmed: true });
});
