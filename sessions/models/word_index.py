"""Marks by which spoken words are found without being readable.

Independent of the models. A mark is a keyed hash of a word (BLAKE2s, 64 bits) under a key of the session's user.
The same word has unrelated marks for two users, so knowing one user's marks does not help to look up another's
words. All guests share one key, so that a search does not take longer with each guest. docs/decisions/speech.md
describes what the index still reveals.
"""

from __future__ import annotations

import hmac
import re
import struct
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from hashlib import blake2s
from itertools import islice

from heygen_portal.runtime.accents import fold_accents
from heygen_portal.runtime.text.tokens import pairs, tokens
from heygen_portal.trail import signing

PURPOSE = "words"
GUESTS = 0  # in place of a user's ID, which no user has
MARK_BYTES = 8
MIN_PREFIX_LETTERS = 3  # shorter ones would find nearly everything
MAX_WORD_LETTERS = 32  # longer words are cut
MAX_WORDS_PER_LINE = 1000  # distinct words
MAX_MARKS_PER_LINE = 1500  # whole words first, then their prefixes
MAX_WORDS_PER_QUERY = 8
# Stored texts are shorter, and Unicode decomposition turns one letter into up to 18.
MAX_TEXT_CHARACTERS = 10_000
CACHED_PERSON_KEYS = 50_000
# Of the index. 2: pairs for scripts without spaces, words with combining marks, emoji. 3: the marks of a line are
# signed.
FORMAT = 3
SIGNED_AS = "marks of a line"
WORD = re.compile(r"\w+")


def words(text: str) -> Iterator[str]:
    """Return a text's words as indexed: lower case, without accents, cut to MAX_WORD_LETTERS.

    Scripts without spaces between words are indexed by pairs of characters and by single ones, and emoji by
    themselves.
    """
    for word, is_run in tokens(text[:MAX_TEXT_CHARACTERS]):
        if is_run:
            yield from pairs(word)
            yield from (word if len(word) > 1 else ())
        else:
            yield word[:MAX_WORD_LETTERS]


def search_words(query: str) -> list[str]:
    """Return the words that a search uses: the longest, because they are rarest."""
    found: set[str] = set()
    for word, is_run in tokens(query[:MAX_TEXT_CHARACTERS]):
        found.update(pairs(word) if is_run else [word[:MAX_WORD_LETTERS]])
    return sorted(found, key=lambda word: (-len(word), word))[:MAX_WORDS_PER_QUERY]


def marks_of_line(person_id: int, text: str, key_id: str | None = None) -> list[int]:
    """Return the marks of a user's line, sorted: of its words and of their prefixes.

    They are made with the current key, or with the one of `key_id`.
    """
    found = list(islice(dict.fromkeys(words(text)), MAX_WORDS_PER_LINE))
    parts = dict.fromkeys(found)
    parts.update(dict.fromkeys(word[:length] for word in found for length in range(MIN_PREFIX_LETTERS, len(word))))
    portal_key = signing.keys(PURPOSE)[key_id] if key_id else signing.key(PURPOSE)
    key = _person_key(portal_key, person_id)
    return sorted({_mark(key, part) for part in islice(parts, MAX_MARKS_PER_LINE)})


def sign(line_id: int, marks: Iterable[int]) -> str:
    """Return the signature of a line's sorted marks: it shows that none was deleted, added or moved."""
    return signing.sign(SIGNED_AS, line_id, *marks)


def is_signed(signature: str, line_id: int, marks: Collection[object]) -> bool:
    """Whether this portal signed these sorted marks of the line, with its current key or a retired one.

    SQLite stores text in a column of numbers, so one row could hold several marks as they are signed.
    """
    are_marks = all(type(mark) is int for mark in marks)
    return are_marks and signing.is_signed(signature, SIGNED_AS, line_id, *marks)


def marks_of_query(word: str, people: Iterable[int], key_ids: Iterable[str]) -> list[int]:
    """Return the marks of a word for these users and keys, and its shared marks."""
    encoded, ring = _bytes(word), signing.keys(PURPOSE)
    person_ids = list(people)
    digests = [
        blake2s(encoded, digest_size=MARK_BYTES, key=_person_key(portal_key, person)).digest()
        for portal_key in (ring[key_id] for key_id in key_ids)
        for person in person_ids
    ]
    return [*struct.unpack(f">{len(digests)}q", b"".join(digests)), *shared_marks(word)]


def shared_marks(word: str) -> list[int]:
    """Return a word's marks in the old format, under each key of the portal.

    In that format all users shared a key.
    """
    return [_shared_mark(key, word) for key in signing.keys(PURPOSE).values()]


def shared_marks_of_line(text: str) -> list[int]:
    """Return a line's marks in the old format, in which all users shared a key."""
    key = signing.key(PURPOSE)
    return sorted({_shared_mark(key, part) for word in _whole_words(text) for part in _prefixes(word)})


def _prefixes(word: str) -> set[str]:
    return {word[:length] for length in (*range(MIN_PREFIX_LETTERS, len(word)), len(word))}


def _whole_words(text: str) -> Iterator[str]:
    return (found[0] for found in WORD.finditer(fold_accents(text)))


def _mark(key: bytes, word: str) -> int:
    return int.from_bytes(blake2s(_bytes(word), digest_size=MARK_BYTES, key=key).digest(), "big", signed=True)


def _shared_mark(key: bytes, word: str) -> int:
    return int.from_bytes(hmac.digest(key, _bytes(word), "sha256")[:MARK_BYTES], "big", signed=True)


def _bytes(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=CACHED_PERSON_KEYS)
def _person_key(portal_key: bytes, person_id: int) -> bytes:
    return hmac.digest(portal_key, f"person:{person_id}".encode(), "sha256")
