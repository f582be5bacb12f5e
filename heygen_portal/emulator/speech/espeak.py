"""Speech synthesis by espeak-ng through ctypes, with times of words and phonemes.

The library has global state, so a lock guards it. It synthesizes a minute of speech in 60 ms, fast enough to be called
synchronously.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, Final

import espeakng_loader

_SYNCHRONOUS: Final = 2
_PHONEME_EVENTS: Final = 1
_AS_IPA: Final = 2
_DO_NOT_EXIT: Final = 0x8000
_UTF8: Final = 1
_BY_CHARACTER: Final = 1
_WORD, _PHONEME = 1, 7
_PARAMETERS: Final = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}

_lock = Lock()


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),  # a union with numbers that are not needed here
    )


@dataclass(frozen=True)
class Settings:
    """Settings of espeak: rate in words per minute, all others from 0 to 100."""

    rate: int = 165
    volume: int = 100
    pitch: int = 50
    range: int = 50


@dataclass(frozen=True)
class Sound:
    """Mono 16-bit samples with the positions of words and phonemes."""

    pcm: bytes
    sample_rate: int
    words: tuple[tuple[int, int], ...]  # sample, index of the word's first character in the text
    phonemes: tuple[tuple[int, str], ...]  # sample, IPA; empty for a pause


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _AS_IPA | _DO_NOT_EXIT)
    if rate <= 0:
        raise RuntimeError(f"espeak-ng could not be started with its data in {data.decode()}")
    return library, rate


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def synthesise(text: str, *, voices: tuple[str, ...], settings: Settings) -> Sound:
    """Speak `text` with the first of `voices` that exists ("es+f2", "es").

    Raises ValueError if there is none.
    """
    pcm = bytearray()
    words: list[tuple[int, int]] = []
    phonemes: list[tuple[int, str]] = []

    def collect(samples: Any, count: int, events: Any) -> int:
        if samples and count:
            pcm.extend(ctypes.string_at(samples, count * 2))
        index = 0
        while (event := events[index]).type:
            if event.type == _WORD:
                words.append((event.sample, event.text_position - 1))  # espeak counts from 1
            elif event.type == _PHONEME:
                phonemes.append((event.sample, event.name.decode("utf-8", "ignore")))
            index += 1
        return 0

    with _lock:
        library, rate = _library()
        _choose(library, voices)
        for name, number in _PARAMETERS.items():
            library.espeak_SetParameter(number, getattr(settings, name), 0)
        _run(library, text, collect)
    return Sound(bytes(pcm), rate, tuple(words), tuple(phonemes))


def _choose(library: ctypes.CDLL, voices: tuple[str, ...]) -> None:
    if all(library.espeak_SetVoiceByName(voice.encode()) for voice in voices):
        raise ValueError(f"espeak-ng has no voice {' or '.join(voices)}")


def _run(library: ctypes.CDLL, text: str, collect: Callable[[Any, int, Any], int]) -> None:
    callback = _Callback(collect)
    library.espeak_SetSynthCallback(callback)
    # NUL would end the C string; half a surrogate pair cannot be encoded.
    data = text.replace("\0", " ").encode("utf-8", "replace")
    library.espeak_Synth(data, len(data) + 1, 0, _BY_CHARACTER, 0, _UTF8, None, None)
