/** Looks at the picture as a person would: does it move, is it black, is it to be seen at all? */

const [WIDTH, HEIGHT] = [16, 9];
const DARK = 24; // of 255: a face in the dark is still brighter somewhere

export class PictureWatch {
  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.video = video;
    this.frames = -1;
    this.isDark = false;
    const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
    this.small = canvas.getContext("2d", { willReadFrequently: true });
  }

  /** @returns {{ hasMoved: boolean, isHidden: boolean }} since the last look */
  look() {
    const { totalVideoFrames } = this.video.getVideoPlaybackQuality();
    const isNew = this.frames >= 0 && totalVideoFrames !== this.frames && this.video.videoWidth > 0;
    this.frames = totalVideoFrames;
    if (isNew) this.isDark = this.looksDark();
    return { hasMoved: isNew && !this.isDark, isHidden: document.hidden || !this.video.checkVisibility() };
  }

  /** Whether the frame that stands now is black. */
  looksDark() {
    if (!this.small) return false;
    this.small.drawImage(this.video, 0, 0, WIDTH, HEIGHT);
    return isDark(this.small.getImageData(0, 0, WIDTH, HEIGHT).data);
  }
}

/**
 * @param {ArrayLike<number>} pixels  red, green, blue, alpha
 */
export function isDark(pixels) {
  for (let place = 0; place < pixels.length; place += 1) {
    if (place % 4 !== 3 && Number(pixels[place]) > DARK) return false;
  }
  return true;
}
