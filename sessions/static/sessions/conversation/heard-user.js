/** What the avatar hears of a person: whether somebody speaks, and the line that is being understood. */

export class HeardUser {
  constructor() {
    this.isOn = false;
    this.taskId = "";
    this.text = "";
  }

  /**
   * @param {string} taskId
   * @param {string} piece
   */
  add(taskId, piece) {
    if (this.taskId !== taskId) this.text = "";
    this.taskId = taskId;
    this.text += piece;
  }

  /**
   * The line is understood.
   *
   * @param {string} taskId
   * @param {string} whole  empty where the provider does not repeat it
   * @returns {string} empty when nothing was
   */
  end(taskId, whole) {
    const pieces = this.taskId === taskId ? this.text.trim() : "";
    this.text = "";
    return whole.trim() || pieces;
  }
}
