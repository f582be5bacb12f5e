"""Speech recognition: splits a user's audio into utterances and transcribes them."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from heygen_portal.emulator.sessions.interfaces import HearingSettings
from heygen_portal.emulator.speech.recognition_engines import MODEL_VARIABLE, Engine, engine_for
from heygen_portal.emulator.speech.voice_activity import VoiceActivity

log = logging.getLogger(__name__)

# Clients that close the microphone just stop sending, so an utterance also ends after a gap.
_GAP_SECONDS: Final = 1.0
_MAX_PRESSED_BYTES: Final = 60 * 32_000  # one minute
_NO_MODEL_REPLIES: Final = {
    "es": "Lo siento, aquí no puedo entender el habla en este idioma: falta un modelo. Escríbame, por favor.",
    "en": "I am sorry, I cannot understand speech in this language here: a model is missing. Please write to me.",
}
_languages_reported: set[str] = set()  # languages already logged


class SpeechRecognizer:
    """Recognizes one microphone.

    Reports to `report` in the order of the data channel's messages.
    """

    def __init__(
        self,
        hearing: HearingSettings,
        voice_language: str,
        *,
        report: Callable[[dict[str, Any]], None],
        on_text: Callable[[str], object],
        on_no_model: Callable[[str], object],
    ) -> None:
        self._hearing = hearing
        self._voice_language = voice_language
        self._report = report
        self._on_text = on_text
        self._on_deaf = on_no_model
        self._activity = VoiceActivity()
        self._pressed: bytearray | None = None
        self._utterances = 0
        self._ending: asyncio.TimerHandle | None = None
        self._engine: Engine | None = None
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._recognising = asyncio.create_task(self._recognise())

    def hear(self, pcm: bytes) -> None:
        """Process audio: 16 kHz, mono, 16 bit."""
        if self._hearing.push_to_talk:
            if self._pressed is not None and len(self._pressed) < _MAX_PRESSED_BYTES:
                self._pressed += pcm
            return
        was_speaking = self._activity.speaking
        ended = self._activity.feed(pcm)
        if not was_speaking and (self._activity.speaking or ended):
            self._begin()
        if ended:
            self._end(ended)
        self._watch_for_gap()

    def press(self, on: bool) -> None:
        """Set push to talk.

        Audio between True and False is one utterance, despite pauses.
        """
        self._hearing.push_to_talk = True
        if on and self._pressed is None:
            self._pressed = bytearray()
            self._begin()
        elif not on and self._pressed is not None:
            pressed, self._pressed = bytes(self._pressed), None
            self._end(pressed)

    async def close(self) -> None:
        if self._ending:
            self._ending.cancel()
        self._recognising.cancel()
        await asyncio.wait({self._recognising})
        if self._engine:
            await self._engine.close()

    def _watch_for_gap(self) -> None:
        if self._ending:
            self._ending.cancel()
            self._ending = None
        if self._activity.speaking:
            self._ending = asyncio.get_running_loop().call_later(_GAP_SECONDS, self._gap)

    def _gap(self) -> None:
        if utterance := self._activity.end():
            self._end(utterance)

    def _begin(self) -> None:
        self._utterances += 1
        self._report({"type": "user_start", "task_id": self._task_id})

    def _end(self, utterance: bytes) -> None:
        self._queue.put_nowait((self._task_id, utterance))

    @property
    def _language(self) -> str:
        """The two-letter language code. Clients may send any value."""
        wanted = self._hearing.language[:2].lower()
        is_code = len(wanted) == 2 and wanted.isascii() and wanted.isalpha()
        return wanted if is_code else self._voice_language[:2].lower()

    @property
    def _task_id(self) -> str:
        return f"user-{self._utterances}"

    async def _recognise(self) -> None:
        while True:
            task_id, utterance = await self._queue.get()
            self._engine = self._engine or engine_for(self._language)
            text = await self._engine.recognize(utterance) if self._engine else ""
            if text:
                self._report({"type": "user_talking_message", "task_id": task_id, "message": text})
                self._report({"type": "user_end_message", "task_id": task_id})
            self._report({"type": "user_stop", "task_id": task_id})
            if text:
                self._on_text(text)
            elif self._engine is None:
                self._report_no_model()

    def _report_no_model(self) -> None:
        if self._language not in _languages_reported:
            _languages_reported.add(self._language)
            log.warning("no model to recognise speech in %r; %s can name one", self._language, MODEL_VARIABLE)
        self._on_deaf(_NO_MODEL_REPLIES.get(self._voice_language[:2].lower(), _NO_MODEL_REPLIES["en"]))
