import assert from "node:assert/strict";
import { test } from "node:test";

import { FrameRate, FrameWatch, isUnseen } from "../../../sessions/static/sessions/recovery/frame-watch.js";

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

test("a hidden video is reported as hidden, and its time counts for no frame rate (requirement 61)", (context) => {
  const page = { hidden: false, pictureInPictureElement: null };
  const canvas = { getContext: () => null };
  context.after(() => Reflect.deleteProperty(globalThis, "document"));
  Reflect.set(globalThis, "document", Object.assign(page, { createElement: () => canvas }));
  const video = {
    frames: 0,
    isShown: true,
    videoWidth: 1_280,
    checkVisibility: () => video.isShown,
    getVideoPlaybackQuality: () => ({ totalVideoFrames: video.frames }),
    requestVideoFrameCallback: () => 0,
  };
  const watch = new FrameWatch(video);
  const next = () => {
    video.frames += 25;
    return watch.measure();
  };
  next();
  video.isShown = false;
  assert.deepEqual(next(), { hasMoved: true, isHidden: true });
  page.hidden = true;
  video.isShown = true;
  assert.deepEqual(next(), { hasMoved: true, isHidden: true });
  assert.equal(watch.rate.take(), null);
  page.hidden = false;
  assert.deepEqual(next(), { hasMoved: true, isHidden: false });
});
