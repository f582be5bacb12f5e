"""What a persona must not say or talk about, checked by the portal itself and not by the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from heygen_portal.runtime.text.spellings import fold, has_word_in_parts, hidden_readings, readings

# Shorter words are not looked for in parts: "no" and "el" may follow each other.
MIN_CHARACTERS_IN_PARTS = 5
# Shorter words are not looked for backwards and in codes: they may be other words.
MIN_CHARACTERS_HIDDEN = 7
_MARKUP = re.compile(r"</?(?:passages?|language|date)\b", re.IGNORECASE)
# A phrase may be spread over several sentences, such as one letter in each line.
REMEMBERED_CHARACTERS = 300
# Nobody says such a word. It may be a text in a code.
LONGEST_WORD = 80
CACHED_PHRASES = 4096


@dataclass(frozen=True)
class Topic:
    """A topic to refuse: its name, and the words by which it is recognised."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Protected:
    """A text of the prompt. So many of its words in a row are a quotation."""

    text: str
    words: int


@dataclass
class Guardrails:
    """The words that never leave, the topics to refuse, and the longest answer in characters."""

    forbidden: Sequence[str] = ()
    topics: Sequence[Topic] = ()
    longest_answer: int = 0  # no limit
    protected: Sequence[Protected] = ()
    _said: str = field(default="", init=False)
    _characters: int = field(default=0, init=False)
    _quotations: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        self._quotations = frozenset(run for each in self.protected for run in _runs(each))

    def refused_topic(self, text: str) -> Topic | None:
        """Return the first topic to refuse that a text mentions."""
        return self._topic_in(Text(text)) if self.topics else None

    def lets_out(self, sentence: str) -> bool:
        """Whether a sentence may be said after those that it let out before.

        A forbidden phrase may be spread over several sentences.
        """
        both = f"{self._said} {sentence}"
        read = Text(both)
        if not self._may_leave(read) or self._topic_in(read):
            return False
        kept = both[-REMEMBERED_CHARACTERS:]
        self._said = kept if len(both) <= REMEMBERED_CHARACTERS else kept.partition(" ")[2]  # from a whole word on
        return True

    def may_leave(self, text: str) -> bool:
        """Whether a text has neither forbidden words nor a quotation of the prompt."""
        return self._may_leave(Text(text))

    def _may_leave(self, read: Text) -> bool:
        if _MARKUP.search(read.text) or any(len(word) > LONGEST_WORD for word in read.text.split()):
            return False
        return not (any(map(read.mentions, self.forbidden)) or self._quotes(read))

    def _topic_in(self, read: Text) -> Topic | None:
        return next((topic for topic in self.topics if any(map(read.mentions, topic.words))), None)

    def _quotes(self, read: Text) -> bool:
        # Letters that are spelled out have no borders of words.
        bare = {"".join(words) for words in (*read.readings, *read.hidden)}
        return any(run in each for run in self._quotations for each in bare)

    def is_too_long_with(self, sentence: str) -> bool:
        """Count a sentence. Return True if the answer would be too long with it; the first one never is."""
        is_first = not self._characters
        self._characters += len(sentence)
        return bool(self.longest_answer) and not is_first and self._characters > self.longest_answer


def _runs(protected: Protected) -> Iterator[str]:
    """Yield the letters of each run of words that is a quotation."""
    words = fold(protected.text).replace("_", " ").split()
    return ("".join(words[at : at + protected.words]) for at in range(len(words) - protected.words + 1))


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


class Text:
    """A text in each way in which it can be read. It is read once, whatever number of phrases is looked for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.readings = list(dict.fromkeys(map(tuple, readings(text))))
        self.hidden = [tuple(words) for words in hidden_readings(text) if words]
        self._places = [_places(words) for words in self.readings]
        self._hidden_places = [_places(words) for words in self.hidden]
        self._bare = fold(text).replace(" ", "")

    def mentions(self, phrase: str) -> bool:
        """Whether the text has a phrase as whole words, in whichever way both are written.

        A word with `*` at its end stands for all that begin with it. Scripts without spaces have no whole words.
        """
        wanted = _wanted(phrase)
        if not wanted:
            return False
        bare = "".join(wanted)
        if _has_no_spaces(phrase):
            return bare in self._bare
        read = list(zip(self.readings, self._places, strict=True))
        if len(bare) >= MIN_CHARACTERS_HIDDEN:
            read += zip(self.hidden, self._hidden_places, strict=True)
        for words, places in read:
            starts = places.get(bare[0], ())
            if any(_has_phrase(words, start, wanted) for start in starts):
                return True
            if len(bare) >= MIN_CHARACTERS_IN_PARTS and has_word_in_parts(words, bare, starts):
                return True
        return False


def _places(words: Sequence[str]) -> dict[str, list[int]]:
    """Return where words are, by their first letters."""
    places: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        places.setdefault(word[0], []).append(place)
    return places


@lru_cache(maxsize=CACHED_PHRASES)
def _wanted(phrase: str) -> tuple[str, ...]:
    """Return the words of a phrase; none if it has only signs."""
    words = tuple(fold(phrase).replace("_", " ").split())
    return words if any(word.strip("*") for word in words) else ()


def _has_phrase(words: Sequence[str], start: int, wanted: Sequence[str]) -> bool:
    return len(words) - start >= len(wanted) and all(map(_is_word, words[start : start + len(wanted)], wanted))


def _is_word(word: str, wanted: str) -> bool:
    return word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted


def _has_no_spaces(text: str) -> bool:
    return any("\u3040" <= sign <= "\u9fff" or "\u0e00" <= sign <= "\u0eff" for sign in text)
