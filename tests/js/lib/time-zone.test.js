import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const SCRIPT = readFileSync(new URL("../../../static/portal/time-zone.js", import.meta.url), "utf8");

/** The cookie that the script sets on a page. */
function cookieOf(body) {
  const document = { cookie: "", body };
  const DateTimeFormat = () => ({ resolvedOptions: () => ({ timeZone: "Europe/Madrid" }) });
  vm.runInNewContext(SCRIPT, { document, location: { protocol: "https:" }, Intl: { DateTimeFormat } });
  return document.cookie;
}

test("every page tells the portal the browser's time zone", () => {
  for (const body of [null, { hasAttribute: () => false }]) {
    assert.match(cookieOf(body), /^time_zone=Europe\/Madrid; path=\/; .*; secure$/);
  }
});

test("a kiosk leaves no cookie on the device", () => {
  assert.equal(cookieOf({ hasAttribute: (name) => name === "data-kiosk" }), "");
});
