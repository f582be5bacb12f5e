"""Runs of a persona's tests in the worker. A row stores the progress, and ends in a named state."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
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

from avatars.models import Persona, PersonaTest, PersonaTestRun, PersonaVersion
from avatars.models.persona_settings import OWN
from avatars.models.persona_tests import RUN_LOST_AFTER, tested_with
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
from sessions.costs import ledger
from sessions.persona_tests import checks, conversation, failure_mail, report, store
from sessions.persona_tests.checks import Heard
from sessions.persona_tests.script import ScriptError, Test, Turn

State, Trigger = PersonaTestRun.State, PersonaTestRun.Trigger
UNDER_WAY = (State.WAITING, State.RUNNING)
# A run has so much time for each turn, on average. The worker's own limit leaves time for a last turn.
TIME_PER_TURN, LEAST_TIME = timedelta(seconds=30), timedelta(minutes=10)
RUN_TIMEOUT = timedelta(seconds=queues.LONG_TIME_LIMIT_S) - timedelta(minutes=1)
MOST_TIME = RUN_TIMEOUT - RUN_LOST_AFTER
# A message that no worker took for so long may be lost.
RESEND_AFTER = timedelta(minutes=1)
# Of each persona. The newest run of each version is kept, too: that version may yet be published.
RUNS_KEPT = 50


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
    """Run the tests of one row, then let a worker run those that wait."""
    try:
        job_loop.run(run(run_id, timezone.localdate()), RUN_TIMEOUT)
    finally:
        now = timezone.now()
        _offer_next(now, sent_before=now)


@dataclass
class _Progress:
    """What a run has found so far."""

    results: list[dict[str, Any]] = field(default_factory=list)
    done: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)
    is_failed: bool = False


async def run(run_id: int, today: date) -> None:
    """Run tests and store each turn. Does nothing if the run has been started already, or another one is running."""
    claimed = await in_thread(_claim)(run_id)
    if claimed is None:
        return None
    version, tested, tests, left = claimed
    progress = _Progress()
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + time_limit(tests).total_seconds()
    for test in tests:
        turns: list[dict[str, Any]] = []
        progress.results.append({"name": test.name, "turns": turns})
        said: list[Message] = []
        for turn in test.turns:
            if loop.time() >= ends_at:
                return await in_thread(_end)(run_id, version, State.TOO_SLOW, progress)
            if left is not None and progress.cost >= left:
                return await in_thread(_end)(run_id, version, State.CAPPED, progress)
            heard = await _take_turn(tested, turn, said, today, turns, progress)
            said += [Message("user", turn.say), Message("assistant", heard.text)]
            if not await in_thread(_store)(run_id, version, progress):
                return None  # given up as lost
        await in_thread(_store)(run_id, version, progress, results=progress.results)
    state = State.FAILED if progress.is_failed else State.PASSED
    return await in_thread(_end)(run_id, version, state, progress)


def time_limit(tests: Sequence[Test]) -> timedelta:
    """Return how long a run of these tests may take."""
    turns = sum(len(test.turns) for test in tests)
    return min(max(turns * TIME_PER_TURN, LEAST_TIME), MOST_TIME)


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
    result = {
        "answer": heard.text,
        "outcome": str(heard.outcome),
        "cited": list(heard.cited),
        "calls": [{"name": call.name, "arguments": dict(call.arguments)} for call in heard.calls],
        "problems": problems,
    }
    into.append(turn.as_data() | _storable(result))
    return heard


def _storable(value: Any) -> Any:
    """Return JSON without what databases do not store. A model writes anything."""
    match value:
        case str():
            return value.replace("\0", "").encode("utf-8", "replace").decode()
        case float():
            return value if math.isfinite(value) else str(value)
        case list():
            return [_storable(each) for each in value]
        case dict():
            return {_storable(name): _storable(each) for name, each in value.items()}
    return value


def _claim(run_id: int) -> tuple[PersonaVersion, Sources, list[Test], Decimal | None] | None:
    """Return what is to be tested, the tests, and the credits that may be spent."""
    now = timezone.now()
    try:
        with transaction.atomic():
            waiting = PersonaTestRun.objects.filter(pk=run_id, state=State.WAITING)
            if not waiting.update(state=State.RUNNING, moved_at=now):
                return None
    except IntegrityError:  # another one is running
        return None
    row = PersonaTestRun.objects.select_related(
        "version__model_service", "version__avatar__account", "version__library"
    ).get(pk=run_id)
    version = row.version
    try:
        tests = store.tests_of(version.persona_id)
    except ScriptError:  # changed by SQL
        _end(run_id, version, State.FAILED, _Progress([{"name": "–", "turns": [{"problems": [checks.NOT_READABLE]}]}]))
        return None
    library_version, model = tested_with(version)
    PersonaTestRun.objects.filter(pk=run_id).update(
        library_version=library_version, model=model, total=sum(len(test.turns) for test in tests)
    )
    try:
        left = model_limits.left_for_models(version.avatar.account, now)
    except quotas.SpendingUnknown:
        left = Decimal(0)
    return version, sources.of_version(version, version.library_id or 0, library_version), tests, left


def _store(run_id: int, version: PersonaVersion, progress: _Progress, **changes: Any) -> bool:
    """Store progress, and book what it cost. Return False if the run is no longer running."""
    with transaction.atomic():
        row = PersonaTestRun.objects.select_for_update().defer("results").filter(pk=run_id).first()
        if row is None:
            return False
        tokens, cost = progress.tokens - row.tokens, progress.cost - row.cost
        if tokens or cost:
            ledger.book_test(version.avatar.account_id, version.persona_id, tokens, cost)
        if is_running := row.state == State.RUNNING:
            changes |= {"done": progress.done, "moved_at": timezone.now()}
        else:
            changes = {}
        PersonaTestRun.objects.filter(pk=run_id).update(tokens=progress.tokens, cost=progress.cost, **changes)
        return is_running


def _end(run_id: int, version: PersonaVersion, state: PersonaTestRun.State, progress: _Progress) -> None:
    with transaction.atomic():
        if _store(run_id, version, progress, state=state, results=progress.results):
            _tell(PersonaTestRun.objects.select_related("version__persona").get(pk=run_id))


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
    """Test each published persona, and delete old runs. Scheduled nightly."""
    for persona in _published():
        with each_row.log_failure(f"persona {persona.pk}: its tests could not be started"):
            assert persona.current is not None
            begin(persona.current, Trigger.NIGHTLY)
    _delete_old()


def _delete_old() -> None:
    count, versions, old = Counter[int](), set[int](), []
    rows = PersonaTestRun.objects.order_by("-asked_at", "-pk").values_list("pk", "version", "version__persona")
    for pk, version, persona in rows:
        count[persona] += 1
        if count[persona] > RUNS_KEPT and version in versions:
            old.append(pk)
        versions.add(version)
    PersonaTestRun.objects.filter(pk__in=old).exclude(state__in=UNDER_WAY).delete()


def _has_work() -> bool:
    return PersonaTest.objects.exists()


@shared_task(name="sessions.tasks.maintain_persona_tests", base=PortalTask, has_work=staticmethod(_has_work))
def maintain() -> None:
    """Offer waiting runs again, give up lost ones, and test personas whose model or documents have changed."""
    now = timezone.now()
    for row in PersonaTestRun.objects.filter(state=State.RUNNING).select_related("version__persona"):
        if row.is_lost(now):
            _give_up(row)
    _offer_next(now, sent_before=now - RESEND_AFTER)
    for persona in _published():
        with each_row.log_failure(f"persona {persona.pk}: its tests could not be started"):
            assert persona.current is not None
            if _has_changed(persona.current):
                begin(persona.current, Trigger.CHANGED)


def _offer_next(now: datetime, *, sent_before: datetime) -> None:
    """Offer a waiting run to the workers, if none is running: staff's, then nightly ones, then the others."""
    if PersonaTestRun.objects.filter(state=State.RUNNING).exists():
        return
    waiting = PersonaTestRun.objects.filter(state=State.WAITING, moved_at__lt=sent_before)
    by_trigger = ("-trigger", "asked_at", "pk")
    if run_id := waiting.order_by(*by_trigger).values_list("pk", flat=True).first():
        PersonaTestRun.objects.filter(pk=run_id, state=State.WAITING).update(moved_at=now)
        _send(run_id)


def _published() -> list[Persona]:
    tested = Persona.objects.filter(
        status=Persona.Status.PUBLISHED, brain=OWN, pk__in=PersonaTest.objects.values("persona")
    )
    return each_row.readable(tested.select_related("current__model_service", "current__library"))


def _has_changed(version: PersonaVersion) -> bool:
    """Whether the last run of a version was with other documents or another model."""
    last = version.test_runs.first()
    return last is not None and not last.is_under_way and last.is_outdated
