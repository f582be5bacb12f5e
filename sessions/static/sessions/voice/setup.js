/** Connects the parts of speaking: microphone, level meter, room and view. */

import { isOpen } from "../conversation/state.js";
import { one } from "../lib/dom.js";
import { LoudspeakerView } from "../views/loudspeaker.js";
import { VoiceView } from "../views/voice.js";
import { Loudspeaker } from "./loudspeaker.js";
import { Microphone } from "./microphone.js";
import { OutgoingTrack } from "./outgoing-track.js";
import { preferencesIn } from "./preferences.js";
import { SoundMeter } from "./sound-meter.js";
import { SpeechOnly } from "./speech-only.js";
import { Voice } from "./voice.js";

/** The level of a voice near the microphone, well above a quiet room's. */
const VOICE_LEVEL = 3;

/**
 * @param {object} parts
 * @param {import("../conversation/conversation.js").Conversation} parts.conversation
 * @param {import("../room/room.js").AvatarRoom} parts.room
 * @param {HTMLAudioElement} parts.audio  plays the avatar
 * @param {import("../lib/page-data.js").Capabilities} parts.can
 * @param {Storage} parts.storage
 */
export function setUpVoice({ conversation, room, audio, can, storage }) {
  const devices = /** @type {MediaDevices | undefined} */ (navigator.mediaDevices);
  let reportedSessionId = ""; // of the session whose record mentions the microphone
  const microphone = new Microphone(
    devices,
    () => void voice.onDeviceLost(),
    (isInterrupted) => voice.onInterrupted(isInterrupted),
  );
  const preferences = preferencesIn(storage);
  const worklet = one("#voice-dock", HTMLElement).dataset.gate ?? "";
  const outgoing = new OutgoingTrack({
    room: roomForTrack(room),
    gateFor: (stream, onChange, onLost) => SpeechOnly.of(stream, worklet, onChange, onLost),
    onChange: () => view.draw(),
  });
  const meter = new SoundMeter((level, now) => {
    if (level >= VOICE_LEVEL && voice.isSent) conversation.firstSound.voiceSent(now);
    voice.onLevel(level, now);
  });
  const voice = new Voice({
    microphone,
    outgoing,
    publishData: room.publish.bind(room),
    capabilities: can,
    preferences,
    report: (data) => {
      const { sessionId } = conversation.state;
      if (!sessionId) return;
      reportedSessionId = sessionId;
      conversation.report("microphone", data);
    },
    onPress: (isPressed) => {
      // A user who speaks up interrupts the avatar.
      if (isPressed && conversation.state.isTalking) conversation.interrupt();
      conversation.dispatch({ type: "user_talking", isTalking: isPressed });
    },
    onChange: () => {
      if (microphone.stream !== meter.stream) {
        meter.listen(microphone.stream);
        void loudspeaker.list(); // named only once a microphone is allowed
      }
      view.draw();
    },
  });
  const loudspeaker = new Loudspeaker({ player: audio, devices, preferences, onChange: () => loudspeakerView.draw() });
  const view = new VoiceView(voice, can.takes_voice);
  const loudspeakerView = new LoudspeakerView(loudspeaker);
  devices?.addEventListener?.("devicechange", () => {
    void voice.listDevices();
    void loudspeaker.list();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    void meter.resume();
    void voice.onReturn();
  });
  void loudspeaker.restore();
  return {
    /** @param {boolean} isContinued  in a new session */
    onLeave: (isContinued) => voice.leave(isContinued),
    /** @param {{ type: string }} event  of the room */
    onRoomEvent({ type }) {
      if (type === "push_to_talk_failed") voice.onUnheard();
      if (type !== "room_joined") return;
      // Tracks published in another room are gone, and each session's record mentions the microphone.
      if (voice.isOpen && reportedSessionId !== conversation.state.sessionId) void voice.reapply();
      else void outgoing.publish();
    },
    /** Close the microphone if the session that should have continued this one failed. */
    onFace() {
      if (voice.isOpen && !isOpen(conversation.state)) voice.close();
    },
  };
}

/** @param {import("../room/room.js").AvatarRoom} room */
function roomForTrack(room) {
  return {
    canPublish: () => room.isIn,
    publish: room.publishMicrophone.bind(room),
    unpublish: room.unpublish.bind(room),
  };
}
