"""Send a text to the avatar: store it, deliver it once, publish the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID
from weakref import WeakValueDictionary

from heygen_portal import providers
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import (
    Delivered,
    LimitReached,
    NotReady,
    Provider,
    ProviderError,
    ProviderRejected,
    RoomCommand,
    SessionGone,
    TaskKind,
)
from heygen_portal.runtime import metrics
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import deadlines
from sessions.actions.stop import stop
from sessions.brain import turn
from sessions.lifecycle import broadcast, end_evidence, events
from sessions.models import EndReason, SessionTask, StreamingSession
from sessions.speech import speech_sql

# As published clients do when a task is refused because the avatar has not joined the room yet.
NOT_READY_RETRY_DELAY = timedelta(seconds=0.5)
NOT_READY_TIMEOUT = timedelta(seconds=10)
OUTCOME_POLL_INTERVAL = timedelta(seconds=0.5)
# A task that is still being sent after this time belonged to a process that died.
DELIVERY_TIMEOUT = timedelta(seconds=30)

_session_locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

GiveCommand = turn.GiveCommand


def session_lock(session_id: UUID) -> asyncio.Lock:
    """Return the lock that keeps a session's texts in order across reconnects."""
    return _session_locks.setdefault(session_id, asyncio.Lock())


async def send_task(
    session_id: UUID,
    *,
    text: str,
    kind: TaskKind,
    user_id: int | None,
    ref: str = "",
    give_command: GiveCommand | None = None,
    require_access: Callable[[], None] | None = None,
) -> broadcast.TaskSent | None:
    """Have the avatar answer a text or say it verbatim.

    A text to answer with the organisation's own model counts as sent at once, and its answer follows.

    `user_id` is None for a guest's text, which then needs a `ref`. `require_access` runs in the thread that stores the
    text, before it is stored; what it raises is passed on.

    The outcome is published to every tab. A repeated `ref` is not sent again; the outcome of the first task is
    returned for the tab that asks. Raises TextEmpty, TextTooLong, NotLive before anything is sent. The caller
    orders several calls for one session.
    """

    def accept() -> tuple[SessionTask, bool]:
        # In one thread, because changing threads costs as much as the query.
        if require_access:
            require_access()
        return deadlines.accept_task(session_id, text=text, kind=SessionTask.Kind(kind.value), user_id=user_id, ref=ref)

    task, is_new = await in_thread(accept)()
    if is_new:
        if kind == TaskKind.TALK and task.session.started_with.has_own_brain:
            await turn.begin(
                task,
                lambda sentence: deliver(task.session, sentence, give_command),
                give_command,
                lambda: stop(task.session, EndReason.PERSONA_ENDED, end_evidence.persona()),
            )
        else:
            await deliver(task.session, task, give_command)
        return None
    return broadcast.TaskSent.of(await _wait_for_outcome(task))


async def _wait_for_outcome(task: SessionTask) -> SessionTask:
    """Wait until the sending process, perhaps another one, has stored the outcome."""
    while task.status == SessionTask.Status.SENDING:
        if clock.now() - task.created_at >= DELIVERY_TIMEOUT:
            await in_thread(deadlines.fail_task)(task)
        else:
            await asyncio.sleep(OUTCOME_POLL_INTERVAL.total_seconds())
        await in_thread(task.refresh_from_db)()
    return task


async def deliver(session: StreamingSession, task: SessionTask, give_command: GiveCommand | None = None) -> None:
    """Send a stored task to the provider and record the outcome or refusal.

    A command that only a participant of the room can publish counts as sent once the page has published it.
    """
    provider = providers.for_account(session.account)
    assert session.provider_session_id is not None  # a live session has one
    failure: ProviderError | None = None
    try:
        delivery = await _send_when_ready(provider, session.provider_session_id, task)
        if isinstance(delivery, RoomCommand) and not (give_command and await give_command(delivery)):
            task.status = SessionTask.Status.FAILED
            task.failure = errors.NotPublished.code
        else:
            task.status = SessionTask.Status.SENT
            task.provider_task_id = delivery.provider_task_id
    except ProviderError as exc:
        failure = exc
        task.status = SessionTask.Status.FAILED
        task.failure = _task_failure(exc)
    task.latency = clock.now() - task.created_at
    metrics.texts.labels(task.status).inc()
    await in_thread(_record_outcome)(task)
    if isinstance(failure, SessionGone):
        await stop(session, EndReason.PROVIDER_ENDED, end_evidence.provider_failed(failure))


async def _send_when_ready(provider: Provider, provider_session_id: str, task: SessionTask) -> Delivered | RoomCommand:
    kind = TaskKind(task.kind)
    give_up_at = clock.now() + NOT_READY_TIMEOUT
    while True:
        try:
            return await provider.send_task(provider_session_id, text=task.text, kind=kind)
        except NotReady:
            if clock.now() >= give_up_at:
                raise
        await asyncio.sleep(NOT_READY_RETRY_DELAY.total_seconds())


def _task_failure(exc: ProviderError) -> str:
    if isinstance(exc, LimitReached):
        return errors.ProviderLimit.code
    return errors.ProviderRefused.code if isinstance(exc, ProviderRejected) else errors.ProviderSilent.code


def _record_outcome(task: SessionTask) -> None:
    events.record_with(task.session_id, events.task_entry(task), speech_sql.outcome_of(task))
    if not (task.is_greeting or task.is_of_answer):  # no tab waits for its outcome
        broadcast.publish(task.session_id, broadcast.TaskSent.of(task))
