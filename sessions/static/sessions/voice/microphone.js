/**
 * The person's microphone: opened when they ask for it, never before, and let go of entirely when it is closed.
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
 * Without these an avatar hears its own voice from the loudspeakers, and answers itself.
 * What a browser does not know of it ignores.
 */
const CLEAN = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, voiceIsolation: true };

export class Microphone {
  /**
   * @param {MediaDevices | undefined} devices  browsers give it to secure pages only
   * @param {() => void} onLost  it was unplugged, or permission was taken back
   */
  constructor(devices, onLost) {
    this.devices = devices;
    this.onLost = onLost;
    /** @type {MediaStream | null} */
    this.stream = null;
    this.opening = 0;
  }

  get isOpen() {
    return this.stream !== null;
  }

  /**
   * @param {string} deviceId  empty for the browser's own choice
   * @returns {Promise<Trouble | "open" | "overtaken">}  overtaken: closed, or opened again, while the browser was asking
   */
  async open(deviceId) {
    if (!this.devices?.getUserMedia) return "insecure";
    this.opening += 1;
    const { opening } = this;
    /** @type {MediaStream} */
    let stream;
    try {
      stream = await this.ask(this.devices, deviceId);
    } catch (error) {
      if (opening !== this.opening) return "overtaken";
      return TROUBLES[/** @type {DOMException} */ (error).name] ?? "busy";
    }
    const [track] = stream.getAudioTracks();
    if (opening !== this.opening || !track) {
      for (const each of stream.getTracks()) each.stop();
      return track ? "overtaken" : "absent";
    }
    this.let();
    track.onended = () => this.onLost();
    this.stream = stream;
    return "open";
  }

  close() {
    this.opening += 1;
    this.let();
  }

  /** @returns {Promise<{ id: string, name: string }[]>} names only once a microphone was allowed */
  async choices() {
    const all = (await this.devices?.enumerateDevices?.()) ?? [];
    return all
      .filter(({ kind, deviceId }) => kind === "audioinput" && deviceId)
      .map(({ deviceId, label }) => ({ id: deviceId, name: label }));
  }

  get deviceId() {
    return this.stream?.getAudioTracks()[0]?.getSettings().deviceId ?? "";
  }

  /**
   * The one that was chosen last may have been unplugged: any other is better than none.
   *
   * @param {MediaDevices} devices
   * @param {string} deviceId
   */
  async ask(devices, deviceId) {
    if (deviceId) {
      try {
        return await devices.getUserMedia({ audio: { ...CLEAN, deviceId: { exact: deviceId } } });
      } catch (error) {
        if (TROUBLES[/** @type {DOMException} */ (error).name] !== "absent") throw error;
      }
    }
    return devices.getUserMedia({ audio: CLEAN });
  }

  let() {
    for (const track of this.stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.stream = null;
  }
}
