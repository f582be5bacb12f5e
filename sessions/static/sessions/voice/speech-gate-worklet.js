/** Runs the speech gate in the browser's audio thread, which a busy page does not delay. */

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
    // A silent microphone may have no channel.
    if (input?.[0] && output?.[0]) this.gate.process(input[0], output[0]);
    if (this.gate.isOpen !== this.wasOpen) {
      this.wasOpen = this.gate.isOpen;
      this.port.postMessage(this.wasOpen);
    }
    return true;
  }
}

registerProcessor("speech-gate", SpeechGateProcessor);
