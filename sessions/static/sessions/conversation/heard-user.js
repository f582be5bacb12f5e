/** Joins the fragments of the line that the user is saying. */

export class HeardUser {
  #taskId = "";
  #text = "";

  /**
   * @param {string} taskId
   * @param {string} fragment
   */
  add(taskId, fragment) {
    if (this.#taskId !== taskId) this.#text = "";
    this.#taskId = taskId;
    this.#text += fragment;
  }

  /**
   * End the line.
   *
   * @param {string} taskId
   * @param {string} whole  empty if the provider sends fragments only
   * @returns {string} the line; empty if nothing was understood
   */
  end(taskId, whole) {
    const fragments = this.#taskId === taskId ? this.#text.trim() : "";
    this.#text = "";
    return whole.trim() || fragments;
  }
}
