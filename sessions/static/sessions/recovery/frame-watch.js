/** Watches the video: whether it moves, is black, or is hidden. */

const [WIDTH, HEIGHT] = [16, 9];
const DARK = 24; // of 255; even a dark video of a face has brighter pixels

const MAX_GAP_MS = 5_000; // the frame rate between measurements further apart than this is unknown

/** The frame rate of one conversation, while its video was visible. */
export class FrameRate {
  #frames = 0;
  #ms = 0;
  /** @type {{ total: number, at: number } | null} */
  #last = null;

  /**
   * @param {number} total  number of frames
   * @param {number} at
   * @param {boolean} isSeen
   */
  add(total, at, isSeen) {
    const last = this.#last;
    if (isSeen && last && total > last.total && at - last.at < MAX_GAP_MS) {
      this.#frames += total - last.total;
      this.#ms += at - last.at;
    }
    this.#last = isSeen ? { total, at } : null;
  }

  /** Return the frame rate and reset. @returns {{ fps: number, seconds: number } | null} null if there was no video */
  take() {
    const [frames, ms] = [this.#frames, this.#ms];
    [this.#frames, this.#ms, this.#last] = [0, 0, null];
    return ms ? { fps: Math.round((frames * 10_000) / ms) / 10, seconds: Math.round(ms / 1_000) } : null;
  }
}

export class FrameWatch {
  #video;
  #context;
  #callbacks = 0;
  #frames = -1;
  #isDark = false;

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.rate = new FrameRate();
    this.#video = video;
    const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    const count = () => {
      this.#callbacks += 1;
      video.requestVideoFrameCallback(count);
    };
    video.requestVideoFrameCallback(count);
  }

  /** Whether the last new frame was black. */
  get isDark() {
    return this.#isDark;
  }

  /** Number of frames. Firefox does not count those of a MediaStream, so callbacks count as well. */
  #total() {
    return Math.max(this.#callbacks, this.#video.getVideoPlaybackQuality().totalVideoFrames);
  }

  /** @returns {{ hasMoved: boolean, isHidden: boolean }} since the last call */
  measure() {
    const total = this.#total();
    const isNew = this.#frames >= 0 && total !== this.#frames && this.#video.videoWidth > 0;
    this.#frames = total;
    if (isNew) this.#isDark = this.isFrameDark();
    const isHidden = isUnseen(document, this.#video);
    this.rate.add(total, performance.now(), !isHidden && this.#video.videoWidth > 0);
    return { hasMoved: isNew && !this.#isDark, isHidden };
  }

  /** Whether the current frame is black. */
  isFrameDark() {
    if (!this.#context) return false;
    this.#context.drawImage(this.#video, 0, 0, WIDTH, HEIGHT);
    return isDark(this.#context.getImageData(0, 0, WIDTH, HEIGHT).data);
  }
}

/**
 * Whether the video cannot be seen. In a picture-in-picture window it is visible while its page is hidden.
 *
 * @param {Pick<Document, "hidden" | "pictureInPictureElement">} page
 * @param {Pick<HTMLVideoElement, "checkVisibility">} video
 */
export function isUnseen(page, video) {
  if (page.pictureInPictureElement === video) return false;
  // Older browsers lack checkVisibility: there the element counts as visible.
  return page.hidden || video.checkVisibility?.() === false;
}

/**
 * @param {ArrayLike<number>} pixels  red, green, blue, alpha
 */
export function isDark(pixels) {
  for (let index = 0; index < pixels.length; index += 1) {
    if (index % 4 !== 3 && Number(pixels[index]) > DARK) return false;
  }
  return true;
}
