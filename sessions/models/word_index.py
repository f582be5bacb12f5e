"""Marks by which words that people said are found without being readable. Knows no models.

A mark is a keyed hash of a word (BLAKE2s, 64 bits) under a key of the person whose session it is. The same word has
unrelated marks for two people, so nobody can look up another's words with their own. docs/decisions/speech.md says what
the index still reveals.
"""

from __future__ import annotations

import hmac
import re
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2s
from itertools import islice

from heygen_portal.runtime.accents import fold_accents
from heygen_portal.trail import signing

PURPOSE = "words"
MARK_BYTES = 8
SHORTEST_BEGINNING = 3  # letters; shorter ones would find nearly everything
LONGEST_WORD = 32  # letters; of longer words the first are looked for
LINE_WORDS = 1000  # different words of one line
LINE_MARKS = 1500  # whole words first, then their beginnings
QUERY_WORDS = 8
# Letters that are looked at: what is stored is shorter, and one letter becomes up to 18 when it is taken apart.
LONGEST_TEXT = 10_000
PEOPLE_CACHED = 50_000


def words(text: str) -> Iterator[str]:
    """Return the words of a text as they are searched for: in lower case, without accents, cut to LONGEST_WORD."""
    return (word[:LONGEST_WORD] for word in _whole_words(text[:LONGEST_TEXT]))


def words_to_look_for(query: str) -> list[str]:
    """Return what a search looks for: its longest words, which are the rarest, as many as one search may have."""
    return sorted(set(words(query)), key=lambda word: (-len(word), word))[:QUERY_WORDS]


def of_line(person_id: int, text: str) -> list[int]:
    """Return the marks under which a person's line is stored: of its words and of their first letters."""
    found = list(islice(dict.fromkeys(words(text)), LINE_WORDS))
    parts = dict.fromkeys(found)
    parts.update(dict.fromkeys(word[:length] for word in found for length in range(SHORTEST_BEGINNING, len(word))))
    key = _person_key(signing.key(PURPOSE), person_id)
    return sorted({_mark(key, part) for part in islice(parts, LINE_MARKS)})


def of_query(word: str, people: Iterable[int], key_ids: Iterable[str]) -> list[int]:
    """Return the marks that a word has for any of these people, under any of these keys, and had before."""
    said, ring = _bytes(word), signing.keys(PURPOSE)
    everybody = list(people)
    digests = [
        blake2s(said, digest_size=MARK_BYTES, key=_person_key(portal_key, person)).digest()
        for portal_key in (ring[key_id] for key_id in key_ids)
        for person in everybody
    ]
    return [*struct.unpack(f">{len(digests)}q", b"".join(digests)), *shared(word)]


def shared(word: str) -> list[int]:
    """Return the marks that a word had when all people shared a key, under each key of the portal."""
    return [_shared_mark(key, word) for key in signing.keys(PURPOSE).values()]


def shared_of_line(text: str) -> list[int]:
    """Return the marks under which lines were stored when all people shared a key."""
    key = signing.key(PURPOSE)
    return sorted({_shared_mark(key, part) for word in _whole_words(text) for part in _beginnings(word)})


def _beginnings(word: str) -> set[str]:
    return {word[:length] for length in (*range(SHORTEST_BEGINNING, len(word)), len(word))}


def _whole_words(text: str) -> Iterator[str]:
    return (found[0] for found in re.finditer(r"\w+", fold_accents(text)))


def _mark(key: bytes, word: str) -> int:
    return int.from_bytes(blake2s(_bytes(word), digest_size=MARK_BYTES, key=key).digest(), "big", signed=True)


def _shared_mark(key: bytes, word: str) -> int:
    return int.from_bytes(hmac.digest(key, _bytes(word), "sha256")[:MARK_BYTES], "big", signed=True)


def _bytes(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=PEOPLE_CACHED)
def _person_key(portal_key: bytes, person_id: int) -> bytes:
    return hmac.digest(portal_key, f"person:{person_id}".encode(), "sha256")
