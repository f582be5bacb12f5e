import assert from "node:assert/strict";
import { test } from "node:test";

import { sendLeaveBeacon } from "../../../sessions/static/sessions/conversation/leave-beacon.js";

const sentBy = (conversation) => {
  const beacons = [];
  sendLeaveBeacon(conversation, "t=ken", (url, body) => beacons.push(`${url}?${body}`));
  return beacons;
};

test("a closing page sends its session, tab and CSRF token", () => {
  assert.deepEqual(sentBy({ sessionId: "s1", tab: "abc" }), ["/sessions/s1/leave?tab=abc&csrfmiddlewaretoken=t%3Dken"]);
});

test("a page without a session sends nothing", () => {
  assert.deepEqual(sentBy({ sessionId: "", tab: "abc" }), []);
  assert.deepEqual(sentBy({ sessionId: "s1", tab: "" }), []);
});
