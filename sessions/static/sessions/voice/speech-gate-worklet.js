/** The gate where the browser handles sound: a thread of its own, which a busy page does not hold up. */

import { SpeechGate } from "./speech-gate.js";

class SpeechGateProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.gate = new SpeechGate(sampleRate);
    this.wasOpen = false;
  }

  /**
   * @param {Float32Array[][]} inputs
   * @param {Float32Array[][]} outputs
   */
  process([input], [output]) {
    // A microphone that brings nothing has no channel at all.
    if (input?.[0] && output?.[0]) this.gate.process(input[0], output[0]);
    if (this.gate.isOpen !== this.wasOpen) {
      this.wasOpen = this.gate.isOpen;
      this.port.postMessage(this.wasOpen);
    }
    return true;
  }
}

registerProcessor("speech-gate", SpeechGateProcessor);
