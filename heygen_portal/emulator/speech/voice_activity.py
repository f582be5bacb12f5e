"""Voice activity detection: compares loudness with the background noise."""

from collections import deque
from typing import Final

import numpy as np

SAMPLE_RATE: Final = 16_000
BLOCK: Final = 480 * 2  # bytes of 30 ms
_BLOCK_SECONDS: Final = 0.03
_MIN_LOUDNESS: Final = 120.0  # anything quieter is never speech
_NOISE_FACTOR: Final = 3.0
_LOUD_BLOCKS: Final = (4, 6)  # speech starts when 4 of the last 6 blocks are loud
_PAUSE_SECONDS: Final = 0.7  # silence that ends an utterance
_MAX_UTTERANCE_SECONDS: Final = 20.0
_LEAD_IN_BLOCKS: Final = 10  # kept from before the detection, as speech starts softly


class VoiceActivity:
    """Detects speech in audio and returns each utterance when it ends."""

    def __init__(self) -> None:
        self.speaking = False
        self._remainder = b""
        self._noise = _MIN_LOUDNESS
        self._recent: deque[bool] = deque(maxlen=_LOUD_BLOCKS[1])
        self._lead_in: deque[bytes] = deque(maxlen=_LEAD_IN_BLOCKS)
        self._utterance = bytearray()
        self._silent_s = 0.0

    def feed(self, pcm: bytes) -> bytes | None:
        """Process 16 kHz mono audio. Return the utterance if one ended."""
        sound = self._remainder + pcm
        whole = len(sound) // BLOCK * BLOCK
        self._remainder = sound[whole:]
        ended = None
        for start in range(0, whole, BLOCK):
            ended = self._take(sound[start : start + BLOCK]) or ended
        return ended

    def end(self) -> bytes | None:
        """Return the utterance so far, if any, as no more audio follows."""
        if not self.speaking:
            return None
        self.speaking = False
        self._recent.clear()
        utterance = bytes(self._utterance)
        self._utterance.clear()
        return utterance

    def _take(self, block: bytes) -> bytes | None:
        loud = self._is_loud(block)
        self._recent.append(loud)
        if not self.speaking:
            self._lead_in.append(block)
            if sum(self._recent) >= _LOUD_BLOCKS[0]:
                self.speaking, self._silent_s = True, 0.0
                self._utterance += b"".join(self._lead_in)
                self._lead_in.clear()
            return None
        self._utterance += block
        self._silent_s = 0.0 if loud else self._silent_s + _BLOCK_SECONDS
        if self._silent_s >= _PAUSE_SECONDS or len(self._utterance) > _MAX_UTTERANCE_SECONDS * SAMPLE_RATE * 2:
            return self.end()
        return None

    def _is_loud(self, block: bytes) -> bool:
        loudness = float(np.sqrt(np.mean(np.frombuffer(block, np.int16).astype(np.float32) ** 2)))
        if not self.speaking:  # follow falling noise at once, rising noise slowly
            self._noise = min(loudness, self._noise * 1.02 + 0.1)
        return loudness > max(_MIN_LOUDNESS, self._noise * _NOISE_FACTOR)
