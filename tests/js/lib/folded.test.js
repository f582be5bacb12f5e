import assert from "node:assert/strict";
import { test } from "node:test";

import { folded } from "../../../sessions/static/sessions/lib/folded.js";

test("a search minds neither accents nor case", () => {
  for (const text of ["LUCÍA", "Lucía", "lucia", "Luci\u0301a"]) assert.equal(folded(text), "lucia");
  assert.equal(folded("天気"), "天気");
});
