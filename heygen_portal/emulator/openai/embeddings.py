"""Embeddings of texts: each word's stem is one direction, so texts with the same words are near."""

import base64
import hashlib
import math
import struct
from collections import Counter
from typing import Final

from heygen_portal.emulator.speech import answers

DEFAULT_DIMENSIONS: Final = 256


def embed(text: str, dimensions: int) -> list[float]:
    """Return a vector of length 1."""
    counts = Counter(answers.topic(text))
    vector = [0.0] * dimensions
    for word, count in (counts or Counter({"": 1})).items():
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        sign = 1.0 if digest[0] & 1 else -1.0
        vector[int.from_bytes(digest[1:], "big") % dimensions] += sign * (1.0 + math.log(count))
    length = math.hypot(*vector)
    if not length:  # two words that cancel each other
        return [1.0, *vector[1:]]
    return [value / length for value in vector]


def as_base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
