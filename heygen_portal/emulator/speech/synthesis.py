"""Speech synthesis with times for captions and mouth shapes."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from livekit import rtc

from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.speech import espeak
from heygen_portal.emulator.speech.mouth_shapes import SHUT, eased, shape_of

SAMPLE_RATE: Final = 24_000  # the realtime socket's rate, too
_WORDS_PER_MINUTE: Final = 165
_FALLBACK: Final = "en-us"
_LANGUAGES: Final = {"en": "en-us"}  # espeak's plain "en" is British


@dataclass(frozen=True)
class Emotion:
    """Changes to a voice: rate factor, pitch offset, pitch range and volume."""

    rate: float
    pitch: int
    range: int
    volume: int


EMOTIONS: Final = {
    "friendly": Emotion(1.0, 0, 55, 100),
    "excited": Emotion(1.15, 12, 90, 120),
    "serious": Emotion(0.94, -10, 25, 95),
    "soothing": Emotion(0.84, -4, 40, 75),
    "broadcaster": Emotion(1.06, -4, 70, 115),
}


@dataclass(frozen=True)
class Speech:
    """Synthesized audio: 24 kHz, mono, 16 bit."""

    pcm: bytes = field(repr=False)
    timed_words: tuple[tuple[float, str], ...] = field(
        repr=False
    )  # seconds and words with their spaces, which join to the text
    shapes: tuple[tuple[float, str], ...] = field(repr=False)  # seconds and mouth shapes

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / SAMPLE_RATE


@lru_cache(maxsize=4)  # the duration is requested first, the audio soon after
def speak(text: str, voice: Voice) -> Speech:
    """Synthesize `text`. Languages that espeak lacks are read with an English voice."""
    emotion = EMOTIONS.get(voice.emotion.lower(), EMOTIONS["friendly"])
    settings = espeak.Settings(
        rate=round(_WORDS_PER_MINUTE * voice.rate * emotion.rate),
        volume=emotion.volume,
        pitch=max(0, min(99, voice.pitch + emotion.pitch)),
        range=emotion.range,
    )
    language = _LANGUAGES.get(voice.language, voice.language)
    variant = f"+{voice.variant}" if voice.variant else ""
    voices = (language + variant, language, _FALLBACK + variant, _FALLBACK)
    sound = espeak.synthesise(text, voices=voices, settings=settings)
    rate = sound.sample_rate
    shapes = [(sample / rate, shape_of(phoneme)) for sample, phoneme in sound.phonemes]
    shapes.append((len(sound.pcm) / 2 / rate, SHUT))
    return Speech(
        pcm=_resampled(sound.pcm, rate),
        timed_words=tuple(_split_words(text, [(sample / rate, index) for sample, index in sound.words])),
        shapes=tuple(eased(shapes)),
    )


def _resampled(pcm: bytes, rate: int) -> bytes:
    if not pcm:
        return b""
    resampler = rtc.AudioResampler(rate, SAMPLE_RATE, num_channels=1)
    frames = resampler.push(rtc.AudioFrame(pcm, rate, 1, len(pcm) // 2)) + resampler.flush()
    return b"".join(frame.data.tobytes() for frame in frames)


def _split_words(text: str, words: list[tuple[float, int]]) -> list[tuple[float, str]]:
    """Split the text into words with the time at which each is first heard.

    espeak reports one word for "and so", several for "1234" and none for a dash. A word without its own time gets
    the previous one's. The words always join to the text.
    """
    timed_words: list[tuple[float, str]] = []
    at, spoken = 0.0, iter(words)
    upcoming = next(spoken, None)
    for match in re.finditer(r"\s*\S+\s*|\s+", text):
        first = True
        while upcoming is not None and upcoming[1] < match.end():
            if first and upcoming[1] >= match.start():
                at, first = max(at, upcoming[0]), False
            upcoming = next(spoken, None)
        timed_words.append((at, match[0]))
    return timed_words
