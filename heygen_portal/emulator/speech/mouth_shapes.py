"""Mouth shapes for phonemes and for loudness."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

import numpy as np

MOUTHS: Final = ("sil", "pp", "ff", "th", "dd", "kk", "ch", "ss", "nn", "rr", "aa", "E", "ih", "oh", "ou")
SHUT: Final = "sil"

_SOUNDS: Final = {
    "pp": "pbm",
    "ff": "fvβɱʋ",
    "th": "θð",
    "dd": "tdɖʈ",
    "kk": "kɡgɣxhɦŋɲ",
    "ch": "ʃʒɕ",
    "ss": "sz",
    "nn": "nlɫʎ",
    "rr": "rɾɹʁɻ",
    "aa": "aɑɐʌæ",
    "E": "eɛəɜɚ",
    "ih": "iɪjy",
    "oh": "oɔɒ",
    "ou": "uʊwʉ",
}
_SHAPE_OF: Final = {sound: shape for shape, sounds in _SOUNDS.items() for sound in sounds}
_AFFRICATES: Final = ("tʃ", "dʒ")
_MARKS: Final = "ˈˌːˑ̩ʲ̃"

_CLOSED: Final = (SHUT, "pp")
_HALFWAY: Final = {"aa": "dd", "E": "ih", "oh": "rr", "ou": "rr"}
_FRAME_SECONDS: Final = 0.04  # one video frame
# Loudness above which the mouth takes a shape, for audio without phonemes.
_LOUDNESS: Final = ((4000.0, "aa"), (1800.0, "E"), (700.0, "ih"), (250.0, "dd"))


def shape_of(phoneme: str) -> str:
    """Return the mouth shape for an IPA phoneme, shut for a pause."""
    bare = phoneme.strip(_MARKS)
    if bare.startswith(_AFFRICATES):
        return "ch"
    return _SHAPE_OF.get(bare[:1], SHUT if not bare else "E")


def eased(shapes: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Insert a half-open mouth for one frame where it would open or shut abruptly."""
    smooth: list[tuple[float, str]] = []
    before = SHUT
    for at, shape in shapes:
        moment = max(at, smooth[-1][0]) if smooth else at  # a phoneme may be shorter than a frame
        if halfway := _halfway(before, shape):
            smooth.append((moment, halfway))
            moment += _FRAME_SECONDS
        smooth.append((moment, shape))
        before = shape
    return smooth


def _halfway(before: str, after: str) -> str | None:
    if before in _CLOSED:
        return _HALFWAY.get(after)
    return _HALFWAY.get(before) if after == SHUT else None  # a "p" shuts at once, or it would not be visible


def shapes_of_sound(pcm: bytes, rate: int) -> list[tuple[float, str]]:
    """Return seconds and shapes for audio, from its loudness alone."""
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], np.int16).astype(np.float32)
    block = round(rate * _FRAME_SECONDS)
    shapes = []
    for index, start in enumerate(range(0, len(samples), block)):
        loudness = float(np.sqrt(np.mean(samples[start : start + block] ** 2)))
        shapes.append((index * _FRAME_SECONDS, next((shape for least, shape in _LOUDNESS if loudness > least), SHUT)))
    return shapes


@dataclass
class MouthTrack:
    """Mouth shapes over time, added in order."""

    def __post_init__(self) -> None:
        self._times: list[float] = []
        self._shapes: list[str] = []

    def add(self, start: float, shapes: list[tuple[float, str]]) -> None:
        """Append shapes whose seconds count from `start`."""
        self._times += [start + at for at, _ in shapes]
        self._shapes += [shape for _, shape in shapes]

    def at(self, moment: float) -> str:
        index = bisect_right(self._times, moment) - 1
        return self._shapes[index] if index >= 0 else SHUT
