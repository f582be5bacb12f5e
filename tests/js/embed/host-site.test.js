import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { HostSite } from "../../../sessions/static/sessions/embed/host-site.js";

const SITE = "https://site.test";
let page, said, heard, site;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  said = [];
  heard = [];
  const parent = { postMessage: (message, target) => said.push([message.type, target]) };
  page = {
    parent,
    location: {},
    document: { referrer: "" },
    addEventListener: (_type, listener) => (page.receive = listener),
  };
  site = new HostSite(page, (message) => heard.push(message.type));
});

/** A message to the frame. */
function receive(type, { source = page.parent, origin = SITE, from = "avatar-chat" } = {}) {
  page.receive({ source, origin, data: { source: from, type } });
}

test("the site's origin is the one of its greeting, which the browser vouches for", async () => {
  const origin = site.origin();
  receive("hello", { source: {}, origin: "https://evil.test" });
  receive("hello", { from: "other", origin: "https://evil.test" });
  receive("hello");
  assert.equal(await origin, SITE);
  assert.equal(await site.origin(), SITE);
});

test("without a greeting it is that of the address that led here", async () => {
  page.document.referrer = `${SITE}/bill?month=10`;
  const origin = site.origin();
  mock.timers.tick(1_500);
  assert.equal(await origin, SITE);
});

test("the site hears and says nothing until it is let in, and then only by its exact origin", async () => {
  const origin = site.origin();
  receive("hello");
  await origin;
  site.tell({ type: "live" });
  receive("say");
  assert.deepEqual([said, heard], [[["hello", "*"]], []]);
  site.admitted();
  site.tell({ type: "live" });
  receive("say");
  receive("say", { origin: "https://evil.test" });
  assert.deepEqual([said.slice(1), heard], [[["live", SITE]], ["say"]]);
});

test("a page that is in no frame has no site", async () => {
  page.parent = page;
  assert.equal(await site.origin(), "");
});
