"""Search of documents: are the passages that answer found, and how long does it take in 10,000 passages?

The corpus in `knowledge_corpus/` has 20 documents in Spanish and 20 in English, and 200 questions: 100 that share words
with their passage, 60 that share at most one, and 40 that no document answers. Both databases are measured.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
import yaml

from tests.support import servers

CORPUS = Path(__file__).parent / "knowledge_corpus"
PASSAGES = 10_000
PASSAGE_CHARACTERS = 650
TIMED_SEARCHES = 400
HIT_AT = 3


def main(databases: list[str], show_missed: bool) -> None:
    measured: dict[str, dict[str, Any]] = {}
    for name in databases:
        with database(name):
            measured[name] = measure(show_missed and name == databases[0])
            print(f"{name}: {json.dumps(measured[name])}")
    worst = {key: min(each[key] for each in measured.values()) for key in ("hit_at_3", "hard_hit_at_3")}
    slowest = max(each["search_p95_ms"] for each in measured.values())
    print(json.dumps({"bench": "knowledge", **worst, "search_p95_ms": slowest, "databases": measured}))


@contextmanager
def database(name: str) -> Iterator[None]:
    """Use a new database of this kind."""
    from tests.support import on_postgres

    with servers.folder() as here:
        if name == "postgresql":
            with servers.postgres() as url:
                on_postgres.migrate(url)
                with on_postgres.as_default(url):
                    yield
            return
        url = f"sqlite:///{here}/portal.sqlite3"
        on_postgres.migrate(url)
        with on_postgres.as_default(url):
            yield


def measure(show_missed: bool) -> dict[str, Any]:
    from avatars.documents import search
    from avatars.models import Library

    library = Library.objects.create(name="Corpus", language="es")
    for path in sorted(CORPUS.glob("*/*.md")):
        add(library, path.name, path.read_bytes())
    library.refresh_from_db()
    questions = yaml.safe_load((CORPUS / "questions.yaml").read_text())
    hits: dict[str, list[bool]] = {"easy": [], "hard": []}
    best_of_unanswerable, answered_below = [], 0
    for asked in questions:
        found = search.search(
            library.pk, library.version, asked["question"], language=asked["language"], limit=10, min_score=0
        )
        best = found[0].score if found else 0.0
        if asked["document"] is None:
            best_of_unanswerable.append(best)
            continue
        place = next((at for at, passage in enumerate(found) if has(passage.text, asked["passage"])), None)
        hits["hard" if asked["hard"] else "easy"].append(place is not None and place < HIT_AT)
        answered_below += best < search.MIN_SCORE
        if show_missed and not hits["hard" if asked["hard"] else "easy"][-1]:
            print(f"  missed {asked['id']} ({place}, {best:.2f}) {asked['question']} | {asked['passage']}")
    return {
        "hit_at_3": share(hits["easy"]),
        "hard_hit_at_3": share(hits["hard"]),
        "unanswerable": len(best_of_unanswerable),
        "unanswerable_below_bound": sum(best < search.MIN_SCORE for best in best_of_unanswerable),
        "unanswerable_median_score": round(statistics.median(best_of_unanswerable), 3),
        "answerable_below_bound": answered_below,
        **time_searches([asked["question"] for asked in questions]),
    }


def time_searches(questions: list[str]) -> dict[str, Any]:
    """Time searches of 10,000 passages, made of the corpus's own sentences."""
    from avatars.documents import search
    from avatars.models import Chunk, Library

    chance = random.Random(20)
    library = Library.objects.create(name="Large", language="es")
    for language in ("es", "en"):
        lines = [line for path in sorted((CORPUS / language).glob("*.md")) for line in path.read_text().splitlines()]
        sentences = [line for line in lines if len(line) > 40]
        passages = []
        for _ in range(PASSAGES // 2):
            passage = ""
            while len(passage) < PASSAGE_CHARACTERS:
                passage += f"{chance.choice(sentences)} "
            passages.append(passage[:PASSAGE_CHARACTERS].strip())
        add(library, f"{language}.txt", "\n\n".join(passages).encode())
    library.refresh_from_db()
    took = []
    for number in range(TIMED_SEARCHES + 20):
        question = questions[number % len(questions)]
        began = time.perf_counter()
        search.search(library.pk, library.version, question, language="es" if number % 2 else "en")
        took.append((time.perf_counter() - began) * 1000)
    warm = sorted(took[20:])
    return {
        "passages": Chunk.objects.filter(version__document__library=library).count(),
        "search_p50_ms": round(warm[len(warm) // 2], 1),
        "search_p95_ms": round(warm[int(len(warm) * 0.95)], 1),
    }


def add(library: Any, name: str, content: bytes) -> None:
    from avatars.documents import intake
    from heygen_portal.trail.change_log import SERVER

    version = intake.add_file(library, io.BytesIO(content), name, SERVER)
    intake.read(version.pk)
    version.refresh_from_db()
    assert version.state == "ready", (name, version.failure)


def has(text: str, passage: str) -> bool:
    """Whether a text has the words of a passage. Rows of a table are stored with the names of their columns."""
    from heygen_portal.runtime.text import comparison

    there, wanted = comparison.words(text), comparison.words(passage.replace("*", ""))
    return wanted in there or ("|" in passage and set(wanted.split()) <= set(there.split()))


def share(hits: list[bool]) -> float:
    return round(sum(hits) / len(hits), 3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--missed", action="store_true", help="print the questions whose passage was not found")
    options = parser.parse_args()
    with servers.folder() as var:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "heygen_portal.settings", "VAR_DIR": str(var)}
        django.setup()
        main(options.databases, options.missed)
