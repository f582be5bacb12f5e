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
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import cache, lru_cache
from hashlib import blake2s
from itertools import islice

from heygen_portal.runtime.accents import fold_accents
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
# Thai, Lao, Myanmar, Khmer; kana; Han.
UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
)
# Without skin tones, so that a search finds all of them.
EMOJI = "\u2600-\u27bf\U0001f300-\U0001f3fa\U0001f400-\U0001faff"
FLAG_LETTERS = "\U0001f1e6-\U0001f1ff"  # two are a flag
# Combining marks of the scripts in use. A set with more of them would be searched range by range.
FIRST_MARK, END_OF_MARKS = "\u0300", 0x10000


def words(text: str) -> Iterator[str]:
    """Return a text's words as indexed: lower case, without accents, cut to MAX_WORD_LETTERS.

    Scripts without spaces between words are indexed by pairs of characters and by single ones, and emoji by
    themselves.
    """
    for word, is_run in _tokens(text[:MAX_TEXT_CHARACTERS]):
        if is_run:
            yield from _pairs(word)
            yield from (word if len(word) > 1 else ())
        else:
            yield word[:MAX_WORD_LETTERS]


def search_words(query: str) -> list[str]:
    """Return the words that a search uses: the longest, because they are rarest."""
    found: set[str] = set()
    for word, is_run in _tokens(query[:MAX_TEXT_CHARACTERS]):
        found.update(_pairs(word) if is_run else [word[:MAX_WORD_LETTERS]])
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


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Yield words and emoji, and runs of characters of a script without spaces, marked as such."""
    folded = fold_accents(text)
    if max(folded, default="") < FIRST_MARK:  # European languages, several times as fast
        yield from ((found[0], False) for found in WORD.finditer(folded))
        return
    for found in _token_pattern().finditer(folded):
        yield found[0], found.lastgroup == "run"


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(max(len(run) - 1, 1))]


@cache
def _token_pattern() -> re.Pattern[str]:
    codes = range(ord(FIRST_MARK), END_OF_MARKS)
    marks = "".join(chr(code) for code in codes if unicodedata.category(chr(code))[0] == "M")
    flag = f"[{FLAG_LETTERS}]{{2}}"
    return re.compile(f"(?P<run>[{UNSPACED}]+)|(?P<emoji>{flag}|[{EMOJI}])|(?P<word>(?:(?![{UNSPACED}])[\\w{marks}])+)")


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
