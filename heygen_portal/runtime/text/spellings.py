"""Ways to write a word that people still read or hear, and that a plain comparison does not find."""

from __future__ import annotations

import base64
import codecs
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby

from heygen_portal.runtime.accents import fold_accents

# No regular expression with repetitions inside repetitions: a user's text would take it for ever.
_WORD = re.compile(r"[^\W_]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}")
MIN_SPELLED_LETTERS = 3

# Cyrillic, Greek and other letters that look like Latin ones.
_LOOK_ALIKES = {
    ord(letter): latin
    for latin, letters in {
        "a": "аαɑ", "b": "ьβ", "c": "сϲ", "d": "ԁ", "e": "еєε", "g": "ɡ", "h": "һ", "i": "іιıɩ", "j": "ј", "k": "кκ",
        "l": "ӏℓ", "m": "м", "n": "пη", "o": "оοσ", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ", "t": "тτ", "u": "υ",
        "v": "νѵ", "w": "ԝω", "x": "хχ", "y": "уү",
    }.items()
    for letter in letters
}  # fmt: skip
# Digits and signs in place of letters. A 1 may be two letters.
_SIGNS = {ord(sign): letter for sign, letter in zip("034578@$€", "oeastbase", strict=True)}
_AS_LETTERS = ({**_SIGNS, ord("1"): "i", ord("!"): "i"}, {**_SIGNS, ord("1"): "l", ord("|"): "l"})
_MIXED = re.compile(r"[\w@$€!|]+")

_DOUBLE = re.compile(r"\b(?:u?ve doble|doble (?:u|v|uve|ve)|double you|double u)\b")  # W has no name of one word
# How letters are called, in Spanish, English, and on the radio.
_CALLED = {
    name: letter
    for letter, names in {
        "a": "a alfa alpha", "b": "be bee bravo", "c": "ce cee charlie", "d": "de dee delta", "e": "e ee echo",
        "f": "efe ef foxtrot", "g": "ge gee golf", "h": "hache aitch hotel", "i": "i eye india",
        "j": "jota jay juliet juliett", "k": "ka kay kilo", "l": "ele el lima", "m": "eme em mike",
        "n": "ene en november", "o": "o oh oscar", "p": "pe pee papa", "q": "cu cue quebec", "r": "erre ere ar romeo",
        "s": "ese ess sierra", "t": "te tee tango", "u": "u you uniform", "v": "uve ve vee victor", "w": "whiskey",
        "x": "equis ex xray", "y": "ye why yankee", "z": "zeta zee zed zulu",
    }.items()
    for name in names.split()
}  # fmt: skip


def fold(text: str) -> str:
    """Return the words of a text without case, accents, signs, and characters that take no room.

    Letters of other scripts become the Latin ones that they look like. A word keeps an asterisk at its end.
    """
    visible = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")
    folded = fold_accents(unicodedata.normalize("NFKC", visible)).translate(_LOOK_ALIKES)
    return " ".join(re.findall(r"\w+\*?", folded))


def readings(text: str) -> list[list[str]]:
    """Return the words of a text in each way in which it can be read."""
    plain = fold(text).replace("_", " ").replace("*", "")
    called = _DOUBLE.sub("w", plain).split()
    found = [plain.split(), _joined(plain.split(), {}), _joined(called, _CALLED)]
    raw = fold_accents(unicodedata.normalize("NFKC", text)).translate(_LOOK_ALIKES)
    for letters in _AS_LETTERS:
        read = _MIXED.sub(partial(_as_letters, letters), raw)
        if read != raw:
            words = fold(read).split()
            found += [words, _joined(words, {})]
    return found


def hidden_readings(text: str) -> list[list[str]]:
    """Return the words of a text if it is written backwards, or in a common code: ROT13 or Base64."""
    plain = fold(text).replace("_", " ").replace("*", "")
    words = plain.split()
    return [
        plain[::-1].split(),
        [word[::-1] for word in words],
        codecs.encode(plain, "rot13").split(),
        fold(" ".join(map(_decoded, _BASE64.findall(text)))).split(),
    ]


def _decoded(word: str) -> str:
    """Return the text of a word in Base64; empty if it is none."""
    standard = word.translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4)).decode()
    except ValueError:  # also a text that is not UTF-8
        return ""


def _as_letters(letters: Mapping[int, str], match: re.Match[str]) -> str:
    """Read the signs of a word as letters. A number stays one."""
    return match[0].translate(letters) if any(sign.isalpha() for sign in match[0]) else match[0]


def has_word_in_parts(words: Sequence[str], wanted: str, starts: Iterable[int]) -> bool:
    """Whether consecutive words make up a word, such as "sword" and "fish", from one of these places on."""
    for start in starts:
        first = words[start]
        if len(first) >= len(wanted) or not wanted.startswith(first):
            continue
        joined = first
        for word in words[start + 1 :]:
            joined += word
            if joined == wanted:
                return True
            if not wanted.startswith(joined):
                break
    return False


def _joined(words: Sequence[str], called: dict[str, str]) -> list[str]:
    """Return the words, with letters joined that are spelled out, as in "s e c r e t" or "ese e ce"."""
    joined: list[str] = []
    letters = [called.get(word, word) for word in words]
    for is_letter, run in groupby(zip(letters, words, strict=True), lambda pair: len(pair[0]) == 1):
        pairs = list(run)
        if is_letter and len(pairs) >= MIN_SPELLED_LETTERS:
            joined.append("".join(letter for letter, _word in pairs))
        else:
            joined += [word for _letter, word in pairs]
    return joined
