"""Search of a library: the passages that may answer a question, with how well each matches it.

The database proposes passages by its own ranking. How well one matches is computed here, so it is the same on both
databases: the share of the question's words that it has, of which rare ones weigh more. Words that are in no passage
count as the rarest: a question about something else matches badly, however many small words it shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from avatars.documents import index, words
from avatars.documents.index import Candidate
from avatars.models import Library

# A passage that matches less than this answers nothing.
MIN_SCORE = 0.12
CANDIDATES = 40
# So many passages are ranked by the database at most. Words that are in more of them are left to the ranking here.
MAX_RANKED = 300
# How quickly repetitions of a word stop counting, and how much a passage longer than most loses by its length.
SATURATION, LENGTH_WEIGHT = 0.3, 0.5
USUAL_WORDS = 60


@dataclass(frozen=True)
class Passage:
    """A passage that was found. `score` is from 0 to 1."""

    chunk_id: int
    document_title: str
    page: int | None
    heading: str
    anchor: str
    text: str
    score: float
    fingerprint: str


def search(
    library_id: int,
    version: int,
    query: str,
    *,
    language: str,
    limit: int = 5,
    embedding: Sequence[float] | None = None,
    min_score: float = MIN_SCORE,
) -> list[Passage]:
    """Return the passages of a library's version that match a question, the best first."""
    chunks = index.passages_by_language(library_id, version)
    asked = words.language_of(query, language)
    terms = words.of_query(query, [asked, *sorted(chunks.keys() - {asked, ""})])
    if not terms or not chunks:
        return []
    known = index.frequencies(library_id, list(dict.fromkeys(form for term in terms for form in sorted(term))))
    weights = [_weight(sum(chunks.values()), sum(known[form] for form in term)) for term in terms]
    rare, others = _split_by_rarity(known)
    scored = [
        (score, found)
        for found in index.candidates(library_id, version, rare, others, CANDIDATES)
        if (score := _score(terms, weights, found.words)) >= min_score
    ]
    best = sorted(scored, key=lambda pair: (-pair[0], pair[1].chunk_id))[:limit]
    return [_passage(found, score) for score, found in best]


def _weight(chunks: int, with_word: int) -> float:
    with_word = min(with_word, chunks)
    return log(1 + (chunks - with_word + 0.5) / (with_word + 0.5))


def _split_by_rarity(known: dict[str, int]) -> tuple[list[str], list[str]]:
    """Return the words by which the database selects passages, and those by which it only ranks them."""
    by_rarity = sorted(known, key=lambda word: (known[word], word))
    rare: list[str] = []
    total = 0
    for word in by_rarity:
        if rare and total + known[word] > MAX_RANKED:
            break
        rare.append(word)
        total += known[word]
    return rare, by_rarity[len(rare) :]


def _score(terms: Sequence[frozenset[str]], weights: Sequence[float], stored: str) -> float:
    found = stored.split()
    length = 1 - LENGTH_WEIGHT + LENGTH_WEIGHT * len(found) / USUAL_WORDS
    matched = 0.0
    for term, weight in zip(terms, weights, strict=True):
        if times := max(map(found.count, term)):
            matched += weight * times / (times + SATURATION * length)
    return matched / sum(weights)


def _passage(found: Candidate, score: float) -> Passage:
    return Passage(
        chunk_id=found.chunk_id,
        document_title=found.document_title,
        page=found.page,
        heading=found.heading,
        anchor=found.anchor,
        text=found.text,
        score=round(score, 4),
        fingerprint=found.fingerprint,
    )


def current_version(library_id: int) -> int:
    """Return the version that a session beginning now searches."""
    return Library.objects.values_list("version", flat=True).get(pk=library_id)
