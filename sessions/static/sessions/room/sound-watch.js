/** Notices when the avatar is heard: looks at the samples of its sound while an answer is awaited. */

const EVERY_MS = 10;
/** Silence after the codec stays far below. */
const LOUD = 0.005;

export class SoundWatch {
  #onHeard;
  #onLost;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AnalyserNode | null} */
  #analyser = null;
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;
  #samples = new Float32Array(1024);
  #isWatched = false;
  #isFirstLook = true; // since watching began
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /**
   * @param {(at: number) => void} onHeard
   * @param {() => void} onLost  it cannot be measured: the page is hidden, or the avatar is heard already
   */
  constructor(onHeard, onLost) {
    this.#onHeard = onHeard;
    this.#onLost = onLost;
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
    this.#isWatched = isWatched;
    this.#isFirstLook = true;
    if (!isWatched) return; // the context runs on: to resume it takes longer than an answer
    if (!this.#context) this.#open();
    if (this.#context?.state === "suspended") void this.#context.resume();
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
    if (!this.#isWatched) return;
    if (document.hidden) return this.#onLost();
    if (!this.#source || this.#context?.state !== "running") return;
    this.#analyser?.getFloatTimeDomainData(this.#samples);
    const isLoud = this.#samples.some((sample) => Math.abs(sample) > LOUD);
    const isFirstLook = this.#isFirstLook;
    this.#isFirstLook = false;
    if (isLoud) isFirstLook ? this.#onLost() : this.#onHeard(performance.now());
  }

  /** The session is over. */
  close() {
    this.watch(false);
    this.#source?.disconnect();
    this.#source = this.#analyser = this.#track = null;
    void this.#context?.close();
    this.#context = null;
  }
}
