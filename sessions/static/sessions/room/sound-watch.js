/** Notices when the avatar is heard: looks at the samples of its sound while somebody waits for it. */

const EVERY_MS = 10;
/** Silence after the codec stays far below. */
const LOUD = 0.005;

export class SoundWatch {
  #onHeard;
  #onHidden;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AnalyserNode | null} */
  #analyser = null;
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;
  #samples = new Float32Array(1024);
  #wasSilent = false; // since watching began: the analyser still holds what was heard before
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /**
   * @param {(at: number) => void} onHeard
   * @param {() => void} onHidden  the page is hidden, where timers are too slow to measure
   */
  constructor(onHeard, onHidden) {
    this.#onHeard = onHeard;
    this.#onHidden = onHidden;
  }

  /** @param {MediaStreamTrack} track  the avatar's sound */
  listen(track) {
    this.#track = track;
    this.#connect();
  }

  /**
   * Watching begins before the room is joined, so that no time is lost then.
   *
   * @param {boolean} isWatched  true at a user's action: elsewhere the browser may measure nothing
   */
  watch(isWatched) {
    clearInterval(this.#timer);
    this.#wasSilent = false;
    if (!isWatched) return void this.#context?.suspend();
    if (!this.#context) this.#open();
    void this.#context?.resume();
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  #open() {
    if (typeof AudioContext === "undefined") return;
    this.#context = new AudioContext();
    this.#analyser = this.#context.createAnalyser();
    this.#analyser.fftSize = this.#samples.length;
    this.#connect();
  }

  #connect() {
    this.#source?.disconnect();
    this.#source = null;
    if (!this.#context || !this.#analyser || !this.#track) return;
    this.#source = this.#context.createMediaStreamSource(new MediaStream([this.#track]));
    this.#source.connect(this.#analyser);
  }

  #look() {
    if (document.hidden) return this.#onHidden();
    if (!this.#source || this.#context?.state !== "running") return;
    this.#analyser?.getFloatTimeDomainData(this.#samples);
    const isLoud = this.#samples.some((sample) => Math.abs(sample) > LOUD);
    if (isLoud && this.#wasSilent) this.#onHeard(performance.now());
    else if (!isLoud) this.#wasSilent = true;
  }

  /** The session is over. */
  close() {
    clearInterval(this.#timer);
    this.#source?.disconnect();
    this.#source = this.#analyser = this.#track = null;
    void this.#context?.close();
    this.#context = null;
  }
}
