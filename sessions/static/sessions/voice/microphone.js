/**
 * The user's microphone. Opened only at the user's request; closing it releases every track.
 *
 * @typedef {"refused" | "absent" | "busy" | "insecure"} Trouble
 */

/** @type {Record<string, Trouble>} */
const TROUBLES = {
  NotAllowedError: "refused",
  SecurityError: "refused",
  NotFoundError: "absent",
  OverconstrainedError: "absent",
};
/**
 * Without these, an avatar hears its own voice from the speakers and answers itself. Browsers ignore those they do not
 * know.
 */
const CLEAN = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, voiceIsolation: true };

export class Microphone {
  #devices;
  #onLost;
  #onInterrupted;
  #attempt = 0; // results of an earlier attempt to open are dropped

  /**
   * @param {MediaDevices | undefined} devices  undefined on insecure pages
   * @param {() => void} onLost  it was unplugged, or permission was revoked
   * @param {(isInterrupted: boolean) => void} [onInterrupted]  the device or system silences it, for example for a phone
   *   call, or no longer does
   */
  constructor(devices, onLost, onInterrupted = () => {}) {
    this.#devices = devices;
    this.#onLost = onLost;
    this.#onInterrupted = onInterrupted;
    /** @type {MediaStream | null} */
    this.stream = null;
  }

  get isOpen() {
    return this.stream !== null;
  }

  /**
   * @param {string} deviceId  empty for the browser's default
   * @returns {Promise<Trouble | "open" | "superseded">}  superseded: closed or opened again
   *   meanwhile
   */
  async open(deviceId) {
    if (!this.#devices?.getUserMedia) return "insecure";
    this.#attempt += 1;
    const attempt = this.#attempt;
    /** @type {MediaStream} */
    let stream;
    try {
      stream = await this.#ask(this.#devices, deviceId);
    } catch (error) {
      if (attempt !== this.#attempt) return "superseded";
      return TROUBLES[/** @type {DOMException} */ (error).name] ?? "busy";
    }
    const [track] = stream.getAudioTracks();
    if (attempt !== this.#attempt || !track) {
      for (const each of stream.getTracks()) each.stop();
      return track ? "superseded" : "absent";
    }
    this.#release();
    track.onended = () => this.#onLost();
    track.onmute = () => this.#onInterrupted(true);
    track.onunmute = () => this.#onInterrupted(false);
    this.stream = stream;
    return "open";
  }

  close() {
    this.#attempt += 1;
    this.#release();
  }

  /** @returns {Promise<{ id: string, name: string }[]>} names only once a microphone was allowed */
  async choices() {
    const all = (await this.#devices?.enumerateDevices?.()) ?? [];
    return all
      .filter(({ kind, deviceId }) => kind === "audioinput" && deviceId)
      .map(({ deviceId, label }) => ({ id: deviceId, name: label }));
  }

  /** Whether it delivers no sound: silenced by the device or system, or ended without notice. */
  get isInterrupted() {
    const track = this.stream?.getAudioTracks()[0];
    return track !== undefined && (track.muted || track.readyState === "ended");
  }

  get deviceId() {
    return this.stream?.getAudioTracks()[0]?.getSettings().deviceId ?? "";
  }

  /**
   * Open the chosen microphone, or any other if it is not there any more.
   *
   * @param {MediaDevices} devices
   * @param {string} deviceId
   */
  async #ask(devices, deviceId) {
    if (deviceId) {
      try {
        return await devices.getUserMedia({ audio: { ...CLEAN, deviceId: { exact: deviceId } } });
      } catch (error) {
        if (TROUBLES[/** @type {DOMException} */ (error).name] !== "absent") throw error;
      }
    }
    return devices.getUserMedia({ audio: CLEAN });
  }

  #release() {
    for (const track of this.stream?.getTracks() ?? []) {
      track.onended = track.onmute = track.onunmute = null;
      track.stop();
    }
    this.stream = null;
  }
}
