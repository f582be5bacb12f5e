/** A microphone's sound reduced to speech, as tracks that can be published. */

/** How long the browser may take to load the gate. */
const LOAD_TIMEOUT_MS = 3_000;

export class SpeechOnly {
  #context;
  #gate;

  /**
   * @param {AudioContext} context
   * @param {MediaStream} stream
   */
  constructor(context, stream) {
    this.#context = context;
    this.#gate = new AudioWorkletNode(context, "speech-gate", {
      channelCount: 1,
      channelCountMode: "explicit",
      outputChannelCount: [1],
    });
    context.createMediaStreamSource(stream).connect(this.#gate);
  }

  /**
   * @param {MediaStream} stream
   * @param {string} worklet  the address of speech-gate-worklet.js
   * @param {(isOpen: boolean) => void} onChange  whether speech is detected
   * @param {() => void} onLost  the browser suspended the sound, for example for a phone call
   * @throws {Error} if the browser has no audio worklets, or does not load this one in time
   */
  static async of(stream, worklet, onChange, onLost) {
    const context = new AudioContext({ latencyHint: "interactive" });
    try {
      await inTime(Promise.all([context.audioWorklet.addModule(worklet), context.resume()]));
      const created = new SpeechOnly(context, stream);
      created.#gate.port.onmessage = ({ data }) => onChange(data);
      context.onstatechange = onLost;
      return created;
    } catch (error) {
      void context.close();
      throw error;
    }
  }

  /** @returns {MediaStreamTrack} a new track, to be stopped by the caller */
  copy() {
    const end = this.#context.createMediaStreamDestination();
    this.#gate.connect(end);
    return /** @type {MediaStreamTrack} */ (end.stream.getAudioTracks()[0]);
  }

  close() {
    this.#context.onstatechange = this.#gate.port.onmessage = null;
    void this.#context.close();
  }
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
function inTime(promise) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new DOMException("the gate is not ready in time", "TimeoutError")),
      LOAD_TIMEOUT_MS,
    );
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
