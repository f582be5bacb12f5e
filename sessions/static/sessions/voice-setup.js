/** Puts together what speaking needs: the microphone, its meter, the room that takes the sound, and the dock. */

import { one } from "./dom.js";
import { Microphone } from "./microphone.js";
import { Outgoing } from "./outgoing.js";
import { SoundMeter } from "./sound-meter.js";
import { SpeechOnly } from "./speech-only.js";
import { Voice } from "./voice.js";
import { VoiceView } from "./voice-view.js";
import { wishesIn } from "./wishes.js";

/**
 * @param {object} parts
 * @param {import("./conversation.js").Conversation} parts.conversation
 * @param {import("./room.js").AvatarRoom} parts.room
 * @param {import("./words.js").Capabilities} parts.can
 * @param {Storage} parts.storage
 */
export function setUpVoice({ conversation, room, can, storage }) {
  const devices = /** @type {MediaDevices | undefined} */ (navigator.mediaDevices);
  const microphone = new Microphone(devices, () => voice.lost());
  const worklet = one("#voice-dock", HTMLElement).dataset.gate ?? "";
  const outgoing = new Outgoing({
    line: lineOf(room),
    gateFor: (stream, onChange, onLost) => SpeechOnly.of(stream, worklet, onChange, onLost),
    onChange: () => view.draw(),
  });
  const meter = new SoundMeter((level, now) => voice.heard(level, now));
  const voice = new Voice({
    microphone,
    outgoing,
    tell: room.publish.bind(room),
    can,
    wishes: wishesIn(storage),
    report: (data) => conversation.sessionId && conversation.report("microphone", data),
    onPress: (isPressed) => {
      conversation.hearing.isOn = isPressed;
      // Whoever speaks up wants to be heard, not to hear.
      if (isPressed && conversation.state.isTalking) conversation.interrupt();
      conversation.onChange();
    },
    onChange: () => {
      if (microphone.stream !== meter.stream) meter.listen(microphone.stream);
      view.draw();
    },
  });
  const view = new VoiceView(voice, can.takes_voice);
  devices?.addEventListener?.("devicechange", () => void voice.look());
  conversation.onLeave = () => voice.forget();
  return voice;
}

/** @param {import("./room.js").AvatarRoom} room */
function lineOf(room) {
  return {
    isTaking: () => room.isIn,
    /** @param {MediaStreamTrack} track */
    publish: (track) => room.room.localParticipant.publishTrack(track, { source: room.LiveKit.Track.Source.Microphone }),
    /** @param {MediaStreamTrack} track */
    withdraw: (track) => void room.room.localParticipant.unpublishTrack(track).catch(() => {}), // the room may be gone
  };
}
