"""What a persona must not say or talk about, checked by the portal itself and not by the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from heygen_portal.runtime.text.spellings import fold, has_word_in_parts, readings

# Shorter words are not looked for in parts: "no" and "el" may follow each other.
MIN_CHARACTERS_IN_PARTS = 5
# So many words in a row as in the rules are a quotation of them.
QUOTED_WORDS = 6
_MARKUP = re.compile(r"</?(?:passages?|language|date)\b", re.IGNORECASE)
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
    protected: Sequence[str] = ()  # texts of the prompt that are not quoted
    _said: str = field(default="", init=False)
    _characters: int = field(default=0, init=False)
    _quotations: frozenset[tuple[str, ...]] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        self._quotations = frozenset(run for text in self.protected for run in _runs(text))

    def refused_topic(self, text: str) -> Topic | None:
        """Return the first topic to refuse that a text mentions."""
        return next((topic for topic in self.topics if any(_mentions(text, word) for word in topic.words)), None)

    def lets_out(self, sentence: str) -> bool:
        """Whether a sentence may be said after those that it let out before.

        A forbidden phrase may be spread over several sentences.
        """
        both = f"{self._said} {sentence}"
        if any(_mentions(both, word) for word in self.forbidden) or self.refused_topic(both):
            return False
        if _MARKUP.search(both) or not self._quotations.isdisjoint(_runs(both)):
            return False
        self._said = both[-REMEMBERED_CHARACTERS:]
        return True

    def is_too_long_with(self, sentence: str) -> bool:
        """Count a sentence. Return True if the answer would be too long with it; the first one never is."""
        is_first = not self._characters
        self._characters += len(sentence)
        return bool(self.longest_answer) and not is_first and self._characters > self.longest_answer


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = fold(text).split()
    return (tuple(words[at : at + QUOTED_WORDS]) for at in range(len(words) - QUOTED_WORDS + 1))


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
    """Whether a text has a phrase as whole words, in whichever way both are written.

    A word with `*` at its end stands for all that begin with it. Scripts without spaces have no whole words.
    """
    wanted = fold(phrase).split()
    if not any(word.strip("*") for word in wanted):
        return False
    if _has_no_spaces(phrase):
        return "".join(wanted) in fold(text).replace(" ", "")
    bare = "".join(wanted)
    return any(
        _has_phrase(words, wanted) or (len(bare) >= MIN_CHARACTERS_IN_PARTS and has_word_in_parts(words, bare))
        for words in readings(text)
    )


def _has_phrase(words: Sequence[str], wanted: Sequence[str]) -> bool:
    return any(all(map(_is_word, words[at:], wanted)) for at in range(len(words) - len(wanted) + 1))


def _is_word(word: str, wanted: str) -> bool:
    return word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted


def _has_no_spaces(text: str) -> bool:
    return any("\u3040" <= sign <= "\u9fff" or "\u0e00" <= sign <= "\u0eff" for sign in text)
