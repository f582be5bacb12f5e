/** Looks at the picture as a person would: does it move, is it black, is it to be seen at all? */

const [WIDTH, HEIGHT] = [16, 9];
const DARK = 24; // of 255: a face in the dark is still brighter somewhere

const TOGETHER_MS = 5_000; // looks that are further apart tell nothing of how it ran between them

/** How the picture ran, from all looks of one conversation while it was to be seen. */
export class FrameRate {
  constructor() {
    this.frames = 0;
    this.ms = 0;
    /** @type {{ total: number, at: number } | null} */
    this.last = null;
  }

  /**
   * @param {number} total  frames so far
   * @param {number} at
   * @param {boolean} isSeen
   */
  add(total, at, isSeen) {
    const { last } = this;
    if (isSeen && last && total > last.total && at - last.at < TOGETHER_MS) {
      this.frames += total - last.total;
      this.ms += at - last.at;
    }
    this.last = isSeen ? { total, at } : null;
  }

  /** @returns {{ fps: number, seconds: number } | null} and begin anew; null when there was no picture */
  take() {
    const { frames, ms } = this;
    Object.assign(this, new FrameRate());
    return ms ? { fps: Math.round((frames * 10_000) / ms) / 10, seconds: Math.round(ms / 1_000) } : null;
  }
}

export class FrameWatch {
  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.rate = new FrameRate();
    this.video = video;
    this.frames = -1;
    this.isDark = false;
    const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
    this.small = canvas.getContext("2d", { willReadFrequently: true });
    this.shown = 0;
    const count = () => {
      this.shown += 1;
      video.requestVideoFrameCallback(count);
    };
    video.requestVideoFrameCallback(count);
  }

  /** Frames so far; of a picture from a room, Firefox counts none by itself. */
  total() {
    return Math.max(this.shown, this.video.getVideoPlaybackQuality().totalVideoFrames);
  }

  /** @returns {{ hasMoved: boolean, isHidden: boolean }} since the last look */
  look() {
    const total = this.total();
    const isNew = this.frames >= 0 && total !== this.frames && this.video.videoWidth > 0;
    this.frames = total;
    if (isNew) this.isDark = this.looksDark();
    // Older browsers cannot tell, and an element that is hidden there counts as seen.
    const isHidden = document.hidden || this.video.checkVisibility?.() === false;
    this.rate.add(total, performance.now(), !isHidden && this.video.videoWidth > 0);
    return { hasMoved: isNew && !this.isDark, isHidden };
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
