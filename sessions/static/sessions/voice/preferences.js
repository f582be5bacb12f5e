/** The microphone and the way of speaking that were chosen last, for the room and for the page that checks the device. */

/**
 * What the person chose last time, where the browser keeps it.
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
        // It will have to be chosen again.
      }
    },
  };
}
