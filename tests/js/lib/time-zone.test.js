import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const SCRIPT = readFileSync(new URL("../../../static/portal/time-zone.js", import.meta.url), "utf8");

test("every page tells the portal the browser's time zone", () => {
  const document = { cookie: "" };
  const DateTimeFormat = () => ({ resolvedOptions: () => ({ timeZone: "Europe/Madrid" }) });
  vm.runInNewContext(SCRIPT, { document, location: { protocol: "https:" }, Intl: { DateTimeFormat } });
  assert.match(document.cookie, /^time_zone=Europe\/Madrid; path=\/; .*; secure$/);
});
