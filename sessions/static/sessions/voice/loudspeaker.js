/**
 * Where the avatar is heard. Only some browsers let a page choose, and most name the devices only once a microphone was
 * allowed.
 */

/** @typedef {HTMLMediaElement & { setSinkId?: (id: string) => Promise<void> }} Player */
/** @typedef {MediaDevices & { selectAudioOutput?: () => Promise<MediaDeviceInfo> }} Devices */

const DEFAULT = "";

export class Loudspeaker {
  #player;
  #devices;
  #preferences;
  #onChange;

  /**
   * @param {object} parts
   * @param {Player} parts.player
   * @param {Devices | undefined} parts.devices  undefined on insecure pages
   * @param {{ recall: (name: string) => string, keep: (name: string, value: string) => void }} parts.preferences
   * @param {() => void} parts.onChange
   */
  constructor({ player, devices, preferences, onChange }) {
    this.#player = player;
    this.#devices = devices;
    this.#preferences = preferences;
    this.#onChange = onChange;
    this.chosen = DEFAULT;
    /** Whether the chosen loudspeaker is gone, and the default one is used instead. */
    this.isReplaced = false;
    /** @type {{ id: string, name: string }[]} */
    this.choices = [];
  }

  /** Whether the browser shows a list of its own. */
  get asksBrowser() {
    return this.#canChoose && typeof this.#devices?.selectAudioOutput === "function";
  }

  get #canChoose() {
    return typeof this.#player.setSinkId === "function";
  }

  /** Use the loudspeaker chosen last. */
  async restore() {
    const id = this.#preferences.recall("loudspeaker");
    if (id && this.#canChoose) await this.#use(id);
    await this.list();
  }

  /** @param {string} id  empty for the default */
  async choose(id) {
    this.isReplaced = false;
    this.#preferences.keep("loudspeaker", id);
    await this.#use(id);
    this.isReplaced = this.chosen !== id;
    this.#onChange();
  }

  /** Have the browser show its list. */
  async ask() {
    try {
      const device = await this.#devices?.selectAudioOutput?.();
      if (device) await this.choose(device.deviceId);
    } catch {
      // The user chose none.
    }
    await this.list();
  }

  /** List the loudspeakers again. If the chosen one is gone, sound comes from the default one. */
  async list() {
    const all = this.#canChoose ? ((await this.#devices?.enumerateDevices?.()) ?? []) : [];
    const found = all.filter(({ kind, deviceId }) => kind === "audiooutput" && deviceId);
    this.choices = found.map(({ deviceId, label }) => ({ id: deviceId, name: label }));
    const isGone =
      this.chosen !== DEFAULT && found.length > 0 && !found.some(({ deviceId }) => deviceId === this.chosen);
    if (isGone) {
      await this.#use(DEFAULT);
      this.isReplaced = true;
    }
    this.#onChange();
  }

  /** @param {string} id */
  async #use(id) {
    try {
      await this.#player.setSinkId?.(id);
      this.chosen = id;
    } catch {
      // It is gone, or may not be used any more.
      if (id !== DEFAULT) await this.#use(DEFAULT);
    }
  }
}
