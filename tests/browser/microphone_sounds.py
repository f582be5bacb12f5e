"""Synthetic speech and noises as microphone input, so no recording is stored."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.speech.synthesis import SAMPLE_RATE, speak

# From -1 to 1, SAMPLE_RATE.
Sound = NDArray[np.float64]


def microphone(recording: Path) -> tuple[str, ...]:
    """Return Chromium's switches for a microphone that loops a recording."""
    return "--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={recording}"


def record(sound: Sound, path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32_767).astype(np.int16).tobytes())


def speak_text(text: str) -> Sound:
    """Return English speech with two seconds of silence before and after."""
    pause = np.zeros(2 * SAMPLE_RATE)
    spoken = np.frombuffer(speak(text, Voice(language="en")).pcm, np.int16) / 32_768
    return np.concatenate([pause, spoken, pause])


def clap(rng: np.random.Generator) -> Sound:
    """Return a clap: a burst of noise of some milliseconds, and its reverberation."""
    at = np.arange(round(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
    dry = _band(rng.normal(size=at.size), 600, 4_000) * np.exp(-at / 0.012)
    walls = _band(rng.normal(size=at.size), 300, 3_000) * np.exp(-at / 0.06)
    return _normalized(dry + 0.15 * walls, 0.8)


def key(rng: np.random.Generator) -> Sound:
    """Return the press and release of one key of a nearby keyboard."""
    at = np.arange(round(0.12 * SAMPLE_RATE)) / SAMPLE_RATE
    press, release = (np.where(at >= start, np.exp(-(at - start) / 0.006), 0) for start in (0, 0.07))
    return _normalized(_band(rng.normal(size=at.size), 1_000, 7_000) * (press + 0.4 * release), 0.4)


def clatter() -> Sound:
    """Return three claps, a pause and two seconds of typing, over quiet room noise."""
    rng = np.random.default_rng(1)
    sound = rng.normal(scale=0.0005, size=round(6 * SAMPLE_RATE))
    for moment in (0.2, 0.6, 1.05):
        _add(sound, clap(rng), round(moment * SAMPLE_RATE))
    for moment in np.arange(3.5, 5.5, 0.14):
        _add(sound, key(rng), round((moment + rng.uniform(0, 0.05)) * SAMPLE_RATE))
    return sound


def _band(sound: Sound, low: float, high: float) -> Sound:
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(sound.size, 1 / SAMPLE_RATE)
    spectrum[(hertz < low) | (hertz > min(high, SAMPLE_RATE / 2))] = 0
    return np.fft.irfft(spectrum, sound.size)


def _normalized(sound: Sound, peak: float) -> Sound:
    return np.asarray(sound / np.abs(sound).max() * peak)


def _add(sound: Sound, part: Sound, at: int) -> None:
    sound[at : at + part.size] += part
