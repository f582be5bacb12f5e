/** The microphone, mode and filter chosen last, shared by the room and the device check. */

/**
 * Preferences kept in the browser's storage.
 *
 * @param {Storage} storage
 */
export function preferencesIn(storage) {
  return {
    /** @param {string} name */
    recall: (name) => {
      try {
        return storage.getItem(`voice:${name}`) ?? "";
      } catch {
        return "";
      }
    },
    /**
     * @param {string} name
     * @param {string} value
     */
    keep: (name, value) => {
      try {
        storage.setItem(`voice:${name}`, value);
      } catch {
        // Without storage, the user chooses again next time.
      }
    },
  };
}
