import assert from "node:assert/strict";
import { test } from "node:test";

import { FrameRate, isUnseen } from "../../../sessions/static/sessions/recovery/frame-watch.js";

test("the frame rate counts visible time only and restarts with each conversation", () => {
  const rate = new FrameRate();
  const looks = [
    [0, 0, true],
    [25, 1_000, true],
    [40, 2_000, false],
    [90, 3_000, true],
    [140, 5_000, true],
    [900, 60_000, true],
  ];
  for (const [total, at, isSeen] of looks) rate.add(Number(total), Number(at), isSeen === true);
  assert.deepEqual(rate.take(), { fps: 25, seconds: 3 });
  assert.equal(rate.take(), null);
});

test("a video in a picture-in-picture window is seen, even if its page is hidden", () => {
  const video = { checkVisibility: () => true };
  const covered = { checkVisibility: () => false };
  assert.equal(isUnseen({ hidden: false, pictureInPictureElement: null }, video), false);
  assert.equal(isUnseen({ hidden: true, pictureInPictureElement: null }, video), true);
  assert.equal(isUnseen({ hidden: false, pictureInPictureElement: null }, covered), true);
  assert.equal(isUnseen({ hidden: true, pictureInPictureElement: video }, video), false);
  assert.equal(isUnseen({ hidden: true, pictureInPictureElement: {} }, video), true);
  assert.equal(isUnseen({ hidden: false }, {}), false); // Firefox and older browsers lack both
});
