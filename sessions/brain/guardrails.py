"""What a persona must not say or talk about, checked by the portal itself and not by the model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from heygen_portal.runtime.accents import fold_accents

# No regular expression with repetitions inside repetitions: a user's text would take it for ever.
_WORD = re.compile(r"[^\W_]+")
MIN_SPELLED_LETTERS = 3
# A phrase may be spread over several sentences, such as one letter in each line.
REMEMBERED_CHARACTERS = 300


@dataclass(frozen=True)
class Topic:
    """A topic to refuse: its name, and the words by which it is recognised."""

    name: str
    words: tuple[str, ...]


@dataclass
class Guardrails:
    """The words that never leave, the topics to refuse, and the longest answer in characters."""

    forbidden: Sequence[str] = ()
    topics: Sequence[Topic] = ()
    longest_answer: int = 0  # no limit
    _said: str = field(default="", init=False)
    _characters: int = field(default=0, init=False)

    def refused_topic(self, text: str) -> Topic | None:
        """Return the first topic to refuse that a text mentions."""
        return next((topic for topic in self.topics if any(_mentions(text, word) for word in topic.words)), None)

    def lets_out(self, sentence: str) -> bool:
        """Whether a sentence may be said after those that it let out before.

        A forbidden phrase may be spread over several sentences.
        """
        both = f"{self._said} {sentence}"
        if any(_mentions(both, word) for word in self.forbidden) or self.refused_topic(sentence):
            return False
        self._said = both[-REMEMBERED_CHARACTERS:]
        return True

    def is_too_long_with(self, sentence: str) -> bool:
        """Count a sentence. Return True if the answer would be too long with it; the first one never is."""
        is_first = not self._characters
        self._characters += len(sentence)
        return bool(self.longest_answer) and not is_first and self._characters > self.longest_answer


def topics_of(lines: str) -> tuple[Topic, ...]:
    """Read topics, one per line: `name: word, word`; without words, the name is the word."""
    found = []
    for line in filter(str.strip, lines.splitlines()):
        name, _, words = line.partition(":")
        found.append(Topic(name.strip(), tuple(_listed(words.split(","))) or (name.strip(),)))
    return tuple(topic for topic in found if topic.name)


def words_of(lines: str) -> tuple[str, ...]:
    """Read words or phrases, one per line."""
    return tuple(_listed(lines.splitlines()))


def _listed(words: Iterable[str]) -> list[str]:
    return [word.strip() for word in words if word.strip()]


def _mentions(text: str, phrase: str) -> bool:
    """Whether a text has a phrase as whole words, whatever their case, accents and spelling out.

    A word with `*` at its end stands for all that begin with it. Scripts without spaces have no whole words.
    """
    wanted = _fold(phrase)
    if not wanted.strip("* "):
        return False
    if _has_no_spaces(wanted):
        return wanted.replace(" ", "") in _fold(text).replace(" ", "")
    pattern = r" ".join(re.escape(word.rstrip("*")) + (r"\w*" if word.endswith("*") else "") for word in wanted.split())
    return any(re.search(rf"(?<!\w){pattern}(?!\w)", each) for each in _spellings(text))


def _spellings(text: str) -> tuple[str, str]:
    """Return the text, and the text with letters joined that are spelled out, as in "s e c r e t" or "s-e-c-r-e-t"."""
    plain = _fold(text)
    joined: list[str] = []
    for is_letter, words in groupby(_WORD.findall(plain), lambda word: len(word) == 1):
        run = list(words)
        joined += ["".join(run)] if is_letter and len(run) >= MIN_SPELLED_LETTERS else run
    return plain, " ".join(joined)


def _fold(text: str) -> str:
    folded = fold_accents(unicodedata.normalize("NFKC", _visible(text)))
    return " ".join(re.findall(r"\w+\*?", folded))


def _visible(text: str) -> str:
    """Return a text without characters that take no room, such as soft hyphens."""
    return "".join(sign for sign in text if unicodedata.category(sign) != "Cf")


def _has_no_spaces(text: str) -> bool:
    return any("\u3040" <= sign <= "\u9fff" or "\u0e00" <= sign <= "\u0eff" for sign in text)
