"""Runs of a persona's tests in the worker. A row stores the progress, and ends in a named state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from celery import shared_task
from django.db import IntegrityError, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from avatars.documents.search import current_version
from avatars.models import Persona, PersonaTest, PersonaTestRun, PersonaVersion
from avatars.models.persona_settings import OWN
from avatars.personas import publishing
from heygen_portal.models import EventType
from heygen_portal.providers.openai.messages import Message
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import each_row, job_loop, queues
from heygen_portal.runtime.jobs.scheduler import PortalTask
from sessions.brain import sources
from sessions.brain.answering import Outcome
from sessions.brain.sources import Sources
from sessions.capacity import model_limits, quotas
from sessions.persona_tests import checks, conversation, failure_mail, report, store
from sessions.persona_tests.checks import Heard
from sessions.persona_tests.script import ScriptError, Test, Turn

State, Trigger = PersonaTestRun.State, PersonaTestRun.Trigger
UNDER_WAY = (State.WAITING, State.RUNNING)
RUN_TIMEOUT = timedelta(hours=1)
# A run that waits longer was not taken by a worker: its message was lost.
RESEND_AFTER = timedelta(minutes=1)
NOT_READABLE = "not_readable"


class NothingToTest(Exception):
    """The persona has no tests, or no brain of the organisation's own."""


def begin(
    version: PersonaVersion, trigger: PersonaTestRun.Trigger = Trigger.STAFF, asked_by: int | None = None
) -> tuple[PersonaTestRun, bool]:
    """Return the version's run that is under way and False, or a new one and True. Raises NothingToTest."""
    if version.brain != OWN or not PersonaTest.objects.filter(persona=version.persona_id).exists():
        raise NothingToTest
    try:
        with transaction.atomic():
            run = PersonaTestRun.objects.create(version=version, trigger=trigger, asked_by_id=asked_by)
            transaction.on_commit(partial(_send, run.pk))
    except IntegrityError:
        return PersonaTestRun.objects.filter(version=version, state__in=UNDER_WAY).latest("asked_at", "pk"), False
    return run, True


def _send(run_id: int) -> None:
    with suppress(OperationalError):  # `maintain` sends it
        run_tests.delay(run_id)


@shared_task(name="sessions.tasks.run_persona_tests", time_limit=queues.LONG_TIME_LIMIT_S)
def run_tests(run_id: int) -> None:
    """Run the tests of one row."""
    job_loop.run(run(run_id, timezone.localdate()), RUN_TIMEOUT)


@dataclass
class _Progress:
    """What a run has found so far."""

    results: list[dict[str, Any]] = field(default_factory=list)
    done: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)
    is_failed: bool = False


async def run(run_id: int, today: date) -> None:
    """Run tests and store each turn. Does nothing if the run has been started already."""
    claimed = await in_thread(_claim)(run_id)
    if claimed is None:
        return
    tested, tests, left = claimed
    progress = _Progress()
    for test in tests:
        turns: list[dict[str, Any]] = []
        progress.results.append({"name": test.name, "turns": turns})
        said: list[Message] = []
        for turn in test.turns:
            if left is not None and progress.cost >= left:
                await in_thread(_end)(run_id, State.CAPPED, progress)
                return
            heard = await _take_turn(tested, turn, said, today, turns, progress)
            said += [Message("user", turn.say), Message("assistant", heard.text)]
            if not await in_thread(_store)(run_id, progress):
                return  # given up as lost
    await in_thread(_end)(run_id, State.FAILED if progress.is_failed else State.PASSED, progress)


async def _take_turn(
    tested: Sources, turn: Turn, said: Sequence[Message], today: date, into: list[dict[str, Any]], progress: _Progress
) -> Heard:
    heard, used = await conversation.hear(tested, turn.say, said, today)

    async def judge(rubric: str, about: Heard) -> str:
        nonlocal used
        problem, usage = await conversation.judge(tested.service, rubric, about)
        used += usage
        return problem

    problems = [await checks.problem(expectation, heard, judge) for expectation in turn.expect]
    if heard.outcome == Outcome.FALLBACK:  # the model failed, whatever was expected of its words
        problems.append(heard.reason)
    progress.done += 1
    progress.is_failed = progress.is_failed or any(problems)
    progress.tokens += used.prompt_tokens + used.completion_tokens
    progress.cost += tested.service.cost(used) if tested.service else Decimal(0)
    into.append(
        turn.as_data()
        | {
            "answer": heard.text,
            "outcome": str(heard.outcome),
            "cited": list(heard.cited),
            "calls": [{"name": call.name, "arguments": dict(call.arguments)} for call in heard.calls],
            "problems": problems,
        }
    )
    return heard


def _claim(run_id: int) -> tuple[Sources, list[Test], Decimal | None] | None:
    """Return what is to be tested, the tests, and the credits that may be spent."""
    now = timezone.now()
    if not PersonaTestRun.objects.filter(pk=run_id, state=State.WAITING).update(state=State.RUNNING, moved_at=now):
        return None
    row = PersonaTestRun.objects.select_related("version__model_service", "version__avatar__account").get(pk=run_id)
    version = row.version
    library_version = current_version(version.library_id) if version.library_id else 0
    try:
        tests = store.tests_of(version.persona_id)
    except ScriptError as exc:  # changed by SQL
        _end(run_id, State.FAILED, _Progress([{"name": NOT_READABLE, "turns": [], "problem": str(exc)}]))
        return None
    PersonaTestRun.objects.filter(pk=run_id).update(
        library_version=library_version, model=model_of(version), total=sum(len(test.turns) for test in tests)
    )
    try:
        left = model_limits.left_for_models(version.avatar.account, now)
    except quotas.SpendingUnknown:
        left = Decimal(0)
    return sources.of_version(version, version.library_id or 0, library_version), tests, left


def model_of(version: PersonaVersion) -> str:
    """Return which model of which service answers for a version."""
    service = version.model_service
    return f"{service.base_url} {service.chat_model}" if service else ""


def _store(run_id: int, progress: _Progress) -> bool:
    """Store progress. Return False if the run is no longer running."""
    changes = {"done": progress.done, "results": progress.results, "tokens": progress.tokens, "cost": progress.cost}
    running = PersonaTestRun.objects.filter(pk=run_id, state=State.RUNNING)
    return bool(running.update(moved_at=timezone.now(), **changes))


def _end(run_id: int, state: PersonaTestRun.State, progress: _Progress) -> None:
    with transaction.atomic():
        if _store(run_id, progress):
            PersonaTestRun.objects.filter(pk=run_id).update(state=state)
            row = PersonaTestRun.objects.select_related("version__persona").get(pk=run_id)
            _tell(row)


def _tell(run: PersonaTestRun) -> None:
    """Tell staff and webhooks of the end of a run, in its transaction."""
    failure_mail.send_if_new(run)
    about = {"run": run.pk, "trigger": str(run.trigger), "state": str(run.state), "credits": str(run.cost)}
    persona, version = run.version.persona, run.version.number
    counts = {"tests": len(run.results), "tests_failed": report.failed_count(run)}
    publishing.tell_webhooks(EventType.PERSONA_TESTED, persona, version=version, **about, **counts)


@transaction.atomic
def _give_up(run: PersonaTestRun) -> None:
    running = PersonaTestRun.objects.filter(pk=run.pk, state=State.RUNNING, moved_at=run.moved_at)
    if running.update(state=State.LOST):
        run.state = State.LOST
        _tell(run)


@shared_task(name="sessions.tasks.test_personas")
def test_personas() -> None:
    """Test each published persona. Scheduled nightly."""
    for persona in _published():
        with each_row.log_failure(f"persona {persona.pk}: its tests could not be started"):
            assert persona.current is not None
            begin(persona.current, Trigger.NIGHTLY)


def _has_work() -> bool:
    return PersonaTest.objects.exists()


@shared_task(name="sessions.tasks.maintain_persona_tests", base=PortalTask, has_work=staticmethod(_has_work))
def maintain() -> None:
    """Offer waiting runs again, give up lost ones, and test personas whose model or documents have changed."""
    now = timezone.now()
    for row in PersonaTestRun.objects.filter(state=State.RUNNING).select_related("version__persona"):
        if row.is_lost(now):
            _give_up(row)
    for run_id in _waiting(now):
        run_tests.delay(run_id)
    for persona in _published():
        with each_row.log_failure(f"persona {persona.pk}: its tests could not be started"):
            assert persona.current is not None
            if _has_changed(persona.current):
                begin(persona.current, Trigger.CHANGED)


def _waiting(now: datetime) -> list[int]:
    rows = PersonaTestRun.objects.filter(state=State.WAITING, asked_at__lt=now - RESEND_AFTER)
    return list(rows.values_list("pk", flat=True))


def _published() -> list[Persona]:
    tested = Persona.objects.filter(
        status=Persona.Status.PUBLISHED, brain=OWN, pk__in=PersonaTest.objects.values("persona")
    )
    return each_row.readable(tested.select_related("current__model_service", "current__library"))


def _has_changed(version: PersonaVersion) -> bool:
    """Whether the last run of a version was with other documents or another model."""
    last = version.test_runs.first()
    if last is None or last.is_under_way:
        return False
    library_version = version.library.version if version.library else 0
    return (last.library_version, last.model) != (library_version, model_of(version))
