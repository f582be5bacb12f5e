import assert from "node:assert/strict";
import { test } from "node:test";

import { encodingPreference } from "../../../sessions/static/sessions/views/quality-choice.js";

test("a browser without H.264 asks for VP8, any other for nothing (complaint 23)", () => {
  const playing = (...names) => ({
    getCapabilities: () => ({ codecs: names.map((name) => ({ mimeType: `video/${name}` })) }),
  });
  assert.deepEqual(encodingPreference(playing("VP8", "VP9")), { encoding: "VP8" });
  for (const receiver of [playing("VP8", "H264"), playing("AV1"), undefined])
    assert.deepEqual(encodingPreference(receiver), {});
});
