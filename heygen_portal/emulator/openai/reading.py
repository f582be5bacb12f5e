"""Which sentences of the passages answer a question.

A passage counts as a whole, with its title: its other words tell what a short sentence is about. Words that no passage
has weigh most, as they are what the passages do not answer. The bounds were chosen with the corpus of
`bin/bench knowledge`; near values give nearly the same answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import log
from typing import Final

from heygen_portal.emulator.openai.prompts import Passage
from heygen_portal.emulator.speech import answers

_UNKNOWN_FACTOR: Final = 1.6  # weight of a word that no passage has, against that of the rarest one
_WEAK_FACTOR: Final = 0.5
_MIN_LIKENESS: Final = 0.88  # of a misspelled word
_PASSAGE_SHARE: Final = 0.8  # of the score; the rest is the sentence's own
_MIN_SCORE: Final = 0.56
_MIN_SHARE_OF_BEST: Final = 0.95
_MAX_SENTENCES: Final = 2


@dataclass(frozen=True)
class Sentence:
    text: str
    number: str  # of its passage


def answer(question: str, passages: Sequence[Passage]) -> list[Sentence]:
    """Return the sentences that answer, the best first; none if the passages do not answer."""
    known = [(passage, answers.sentences(passage.text)) for passage in passages]
    asked = _as_spelled(answers.stems(question), passages)
    weights = _weights(asked, known)
    total = sum(weights.values())
    found: list[tuple[float, Sentence]] = []
    for passage, sentences in known:
        about = asked & answers.stems(f"{passage.title} {passage.text}")
        for text in sentences:
            if own := asked & answers.stems(text):
                score = _PASSAGE_SHARE * _sum(weights, about) + (1 - _PASSAGE_SHARE) * _sum(weights, own)
                found.append((score / total, Sentence(text, passage.number)))
    best = max((score for score, _ in found), default=0.0)
    if best < _MIN_SCORE:
        return []
    return [sentence for score, sentence in found if score >= best * _MIN_SHARE_OF_BEST][:_MAX_SENTENCES]


def _as_spelled(asked: frozenset[str], passages: Sequence[Passage]) -> frozenset[str]:
    """Return the words of a question; one that no passage has as the passages spell it, if one is nearly the same."""
    spelled = sorted({stem for passage in passages for stem in answers.stems(f"{passage.title} {passage.text}")})
    near = {stem: get_close_matches(stem, spelled, 1, _MIN_LIKENESS) for stem in asked if stem not in spelled}
    return frozenset(near[stem][0] if near.get(stem) else stem for stem in asked)


def _weights(asked: frozenset[str], known: Sequence[tuple[Passage, list[str]]]) -> dict[str, float]:
    by_sentence = [answers.stems(text) for _, sentences in known for text in sentences]
    weights = {}
    for stem in asked:
        count = sum(stem in sentence for sentence in by_sentence)
        weight = log(1 + len(by_sentence) / count) if count else _UNKNOWN_FACTOR * log(1 + len(by_sentence))
        weights[stem] = weight * (_WEAK_FACTOR if answers.is_weak(stem) else 1)
    return weights


def _sum(weights: dict[str, float], stems: frozenset[str]) -> float:
    return sum(weights[stem] for stem in stems)
