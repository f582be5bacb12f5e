"""Answers from documents: is the right passage found, is it cited, and how long does a search of 10,000 passages take?

The corpus in `knowledge_corpus/` has 20 documents in Spanish and 20 in English, and 200 questions: 100 that share words
with their passage, 60 (hard) that share at most one, and 40 that no document answers. Both databases are measured.

hit_at_3         share of the questions whose passage is among the first three that are found
does_not_know    how many answers say that the documents have none. Each answer is made as in a conversation
                 (`sessions.brain.answering`), by the emulator's model
false_citations  sentences whose words are not in a passage that they cite
search_cpu_p95_ms  processor time of a search, which other work on the machine does not change: the portal's and, on
                 PostgreSQL, the database's
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
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
TODAY = date(2026, 12, 1)


def main(databases: list[str], show_missed: bool) -> None:
    measured: dict[str, dict[str, Any]] = {}
    with servers.emulator(media=False) as emulator:
        for name in databases:
            with database(name):
                measured[name] = measure(emulator, show_missed and name == databases[0])
                print(f"{name}: {json.dumps(measured[name])}")
    worst = {key: min(each[key] for each in measured.values()) for key in ("hit_at_3", "hard_hit_at_3")}
    most = {key: max(each[key] for each in measured.values()) for key in ("false_citations", "search_p95_ms")}
    print(json.dumps({"bench": "knowledge", **worst, **most, "databases": measured}))


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


def measure(emulator: servers.Emulator, show_missed: bool) -> dict[str, Any]:
    from avatars.documents import search
    from avatars.models import Library, ModelService

    library = Library.objects.create(name="Corpus", language="es")
    for path in sorted(CORPUS.glob("*/*.md")):
        add(library, path.name, path.read_bytes())
    library.refresh_from_db()
    questions = yaml.safe_load((CORPUS / "questions.yaml").read_text())
    hits: dict[str, list[bool]] = {"easy": [], "hard": []}
    for asked in questions:
        if asked["document"] is None:
            continue
        found = search.search(
            library.pk, library.version, asked["question"], language=asked["language"], limit=10, min_score=0
        )
        place = next((at for at, passage in enumerate(found) if has(passage.text, asked["passage"])), None)
        hits[kind(asked)].append(place is not None and place < HIT_AT)
        if show_missed and not hits[kind(asked)][-1]:
            print(f"  missed {asked['id']} ({place}) {asked['question']} | {asked['passage']}")
    service = ModelService.objects.create(
        name="Emulator", base_url=f"{emulator.url}/v1", api_key=emulator.api_key, chat_model="emulated-chat"
    )
    return {
        "hit_at_3": share(hits["easy"]),
        "hard_hit_at_3": share(hits["hard"]),
        **asyncio.run(answers(questions, library, service)),
        **time_searches([asked["question"] for asked in questions]),
    }


def kind(asked: dict[str, Any]) -> str:
    if asked["document"] is None:
        return "unanswerable"
    return "hard" if asked["hard"] else "easy"


async def answers(questions: list[dict[str, Any]], library: Any, service: Any) -> dict[str, Any]:
    """Ask each question of a persona in its language."""
    from avatars.models import PersonaVersion
    from heygen_portal import providers
    from sessions.brain import sources
    from sessions.brain.answering import Outcome

    does_not_know = dict.fromkeys(("unanswerable", "easy", "hard"), 0)
    cited = false = 0
    for asked in questions:
        version = PersonaVersion(language=asked["language"], model_service=service, instructions="You help visitors.")
        outcome, sentences = await hear(asked["question"], sources.of_version(version, library.pk, library.version))
        assert outcome in (Outcome.ANSWERED, Outcome.NO_ANSWER), outcome
        does_not_know[kind(asked)] += outcome == Outcome.NO_ANSWER
        cited += sum(len(passages) for _text, passages in sentences)
        false += sum(not has(passage, text) for text, passages in sentences for passage in passages)
        if outcome == Outcome.ANSWERED:  # an answer without a source is made up
            false += sum(not passages for _text, passages in sentences)
    await providers.close()
    return {"does_not_know": does_not_know, "citations": cited, "false_citations": false}


async def hear(question: str, source: Any) -> tuple[str, list[tuple[str, list[str]]]]:
    """Return how an answer ended, and its sentences with the passages that each cites."""
    from sessions.brain.answering import Ended, Searched, Sentence, answer

    passages: list[str] = []
    sentences, outcome = [], ""
    parts = answer(
        question,
        [],
        source.brain,
        stream=source.stream,
        search=source.search,
        find_written=source.find_written,
        today=TODAY,
    )
    async for part in parts:
        match part:
            case Searched():
                passages = [f"{passage.heading} {passage.text}" for passage in part.passages]
            case Sentence():
                sentences.append((part.text, [passages[number - 1] for number in part.citations]))
            case Ended():
                outcome = part.outcome
    return outcome, sentences


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
    took, worked = [], []
    for number in range(TIMED_SEARCHES + 20):
        question = questions[number % len(questions)]
        began, worked_before = time.perf_counter(), processor_ms()
        search.search(library.pk, library.version, question, language="es" if number % 2 else "en")
        took.append((time.perf_counter() - began) * 1000)
        worked.append(processor_ms() - worked_before)
    return {
        "passages": Chunk.objects.filter(version__document__library=library).count(),
        "search_p50_ms": at(took[20:], 0.5),
        "search_p95_ms": at(took[20:], 0.95),
        "search_cpu_p95_ms": at(worked[20:], 0.95),
    }


def processor_ms() -> float:
    """Return the processor time of this thread and of the PostgreSQL process that works for it."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return time.thread_time() * 1000
    backend = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat").read_text()
    return time.thread_time() * 1000 + int(backend.split()[0]) / 1e6


def at(values: list[float], quantile: float) -> float:
    return round(sorted(values)[int(len(values) * quantile)], 1)


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
