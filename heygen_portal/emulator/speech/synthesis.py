"""A voice: text becomes sound, with the moment of every word for captions and of every phoneme for the mouth."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from livekit import rtc

from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.speech import espeak
from heygen_portal.emulator.speech.mouth_shapes import SHUT, eased, shape_of

SAMPLE_RATE: Final = 24_000  # what the realtime socket brings, too
_WORDS_PER_MINUTE: Final = 165
_FALLBACK: Final = "en-us"
_LANGUAGES: Final = {"en": "en-us"}  # espeak's plain "en" is British


@dataclass(frozen=True)
class Emotion:
    """How a feeling changes a voice: shares of its rate, steps of pitch, how far the pitch moves, how loud."""

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
    """Sound ready to be played: 24 kHz, mono, 16 bit."""

    pcm: bytes = field(repr=False)
    timed_words: tuple[tuple[float, str], ...] = field(
        repr=False
    )  # seconds, words with the spaces that follow; together exactly the text
    shapes: tuple[tuple[float, str], ...] = field(repr=False)  # seconds, mouths

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / SAMPLE_RATE


@lru_cache(maxsize=4)  # how long a text takes is asked first, and its sound soon after
def speak(text: str, voice: Voice) -> Speech:
    """Synthesise `text`. A language that espeak does not know is read with English sounds."""
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
    """Cut the text into words, each with the moment at which its first sound is heard.

    espeak says one word for "and so", several for "1234", none for a dash: a piece without a sound of its own comes
    with the one before it, and the pieces always add up to the text.
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
