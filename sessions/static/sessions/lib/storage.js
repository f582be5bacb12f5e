/** Storage that may be missing: browsers forbid it in some frames, where even asking for it fails. */

/** @type {Storage} */
export const NO_STORAGE = {
  length: 0,
  clear: () => {},
  getItem: () => null,
  key: () => null,
  removeItem: () => {},
  setItem: () => {},
};

/**
 * @param {() => Storage} find
 * @returns {Storage}
 */
export function storageOr(find) {
  try {
    return find();
  } catch {
    return NO_STORAGE;
  }
}
