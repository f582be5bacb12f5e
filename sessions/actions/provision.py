"""What a person does with a session: start, interrupt, stay. `delivery` sends texts, `stopping` ends it.

What waits for the network is async and holds neither thread nor connection; the database is touched in short
steps through `in_thread`. Whoever calls twice, or from two places, does no harm: one caller wins in `lifecycle`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import TypeVar
from uuid import UUID

from heygen_portal import livekit, providers
from heygen_portal.providers.contract.provider import (
    ENCODINGS,
    Interactivity,
    LimitReached,
    NotSent,
    OutOfCredits,
    OwnRoom,
    Provider,
    ProviderError,
    ProviderRejected,
    ProviderSession,
    ProviderUnreachable,
    Quality,
    RoomAccess,
    RoomCommand,
    SessionGone,
    SessionRequest,
)
from heygen_portal.runtime import background
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import deadlines, queries, send_task
from sessions.actions.stop import call_off, clean, finish_stop, in_one_line, stop
from sessions.capacity import provider_lookups
from sessions.lifecycle import end_evidence, events, transitions
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, SessionTask, StreamingSession
from sessions.presence import own_rooms

logger = logging.getLogger(__name__)

NOTE_TIMEOUT_S = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30
TRIES_ONCE_CLOSED = 40
"""About 15 minutes: the worker has long ended the row by then."""

T = TypeVar("T")
GiveRoom = Callable[[RoomAccess], Awaitable[None]]


async def bring_up(session: StreamingSession, give_room: GiveRoom, prepared: str = "") -> None:
    """Ask the provider for the session, hand its room to the browser, and start the avatar beside that.

    `prepared` is a room of ours in which the browser may be already. Every failure ends the session with a reason, and
    nothing is raised for it. But for one: LimitReached, when the provider has no place. Then the session is the
    caller's to end, who knows how its person can wait.
    """
    provider = providers.for_account(session.account)
    try:
        own_room = await own_rooms.take(session, prepared) if session.account.has_own_rooms else None
        answer = await _new(session, provider, own_room)
    except LimitReached:
        await own_rooms.drop(session.room)
        raise
    except ProviderError as exc:
        await _give_up(session, provider, exc)
        return
    # On its way before the browser is handed the room, and not waited for: both run side by side.
    starting = asyncio.create_task(provider.start_session(answer))
    try:
        await _go_on(session, provider, answer, starting, own_room, give_room)
    except BaseException as exc:  # whatever it is, the session is open at the provider by now
        background.keep(_secure(session, provider, answer, starting, type(exc).__name__))
        raise


async def _go_on(
    session: StreamingSession,
    provider: Provider,
    answer: ProviderSession,
    starting: asyncio.Task[ProviderSession],
    own_room: OwnRoom | None,
    give_room: GiveRoom,
) -> None:
    """Note what the provider answered, hand its room over, and wait for the start."""
    if not await in_thread(transitions.connect)(session, answer):
        await asyncio.wait([starting])  # stopped meanwhile: let the call land, then undo it
        starting.exception()
        await finish_stop(session, provider)
        return
    room = livekit.for_person(own_room.name) if own_room else answer.room
    if room:
        await give_room(room)
    try:
        started = await starting
    except ProviderError as exc:
        await stop(session, _reason(exc), end_evidence.answered(exc))
        return
    if not room and started.room:
        await give_room(started.room)  # some providers know the room only now
    if not await in_thread(transitions.note_started)(session, started):
        with suppress(ProviderError):  # it was stopped while it started; what is still open, the worker finds
            await provider.stop_session(answer.provider_session_id)


async def _secure(
    session: StreamingSession,
    provider: Provider,
    answer: ProviderSession,
    starting: asyncio.Task[ProviderSession],
    error: str,
) -> None:
    """Bring a known session of the provider onto its row, or end it there: on a shared account nobody else would.

    For as long as this process lives, and both the database and the provider fail.
    """
    await asyncio.wait([starting])  # let the call land, then undo it
    starting.exception()
    is_closed = False
    for attempt in count():
        try:
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                goes_on = await in_thread(transitions.note_after_failure)(
                    session, answer, end_evidence.opening_failed(error)
                )
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is tried again
            what = (session.pk, answer.provider_session_id, type(exc).__name__)
            logger.warning("session %s: the provider's ID %s could not be stored: %s", *what)
        else:
            if not goes_on:
                await finish_stop(session, provider)
            return
        if not is_closed and (is_closed := await _is_closed(session, provider, answer.provider_session_id)):
            await own_rooms.drop(session.room)
        if is_closed and attempt >= TRIES_ONCE_CLOSED:
            logger.error("session %s: the provider's ID %s is not on its row", session.pk, answer.provider_session_id)
            return
        await asyncio.sleep(min(FIRST_PAUSE_S * 2 ** min(attempt, 20), LONGEST_PAUSE_S))


async def _is_closed(session: StreamingSession, provider: Provider, provider_session_id: str) -> bool:
    try:
        await provider.stop_session(provider_session_id)
    except SessionGone:
        pass
    except ProviderError as exc:
        logger.warning("session %s: %s was not stopped: %s", session.pk, provider_session_id, in_one_line(exc))
        return False
    return True


async def _new(session: StreamingSession, provider: Provider, own_room: OwnRoom | None) -> ProviderSession:
    """Ask for a session. Where the provider says that no place is free, close what nobody uses and ask once more."""
    request = replace(_request(session), room=own_room)
    if session.continues_id and session.account.capabilities.accepts_history:
        knowledge, conversation_history = await in_thread(queries.memory_of)(session)
        request = replace(request, knowledge=knowledge, conversation_history=conversation_history)
    try:
        return await provider.new_session(request)
    except LimitReached as exc:
        logger.warning("session %s: no place at the provider: %s", session.pk, in_one_line(exc))
        await clean(session.account, refused=session.pk)
    return await provider.new_session(request)


async def _give_up(session: StreamingSession, provider: Provider, exc: ProviderError) -> None:
    """The provider did not open the session, or we do not know whether it did."""
    logger.warning("session %s: new failed: %s", session.pk, in_one_line(exc))
    if isinstance(exc, ProviderRejected | NotSent):
        await call_off(session, _reason(exc), end_evidence.answered(exc))
        await own_rooms.drop(session.room)
    else:
        await in_thread(transitions.begin_stop)(session, _reason(exc), end_evidence.answered(exc))
        await finish_stop(session, provider)


def _request(session: StreamingSession) -> SessionRequest:
    asked = session.started_with
    return SessionRequest(
        avatar_id=asked.avatar_id,
        voice_id=asked.voice_id,
        voice_rate=asked.voice_rate,
        voice_emotion=asked.voice_emotion,
        voice_settings=asked.voice_settings,
        knowledge_base_id=asked.knowledge_base_id,
        language=asked.language,
        quality=Quality(asked.quality) if asked.quality else None,
        video_encoding=asked.encoding or ENCODINGS[0],
        takes_voice=asked.takes_voice,
        interactivity=Interactivity(asked.interactivity),
        breaks_silence=asked.breaks_silence,
        # Ours are the clocks that count; the provider's only have to be later, and its longest session begins later.
        idle_timeout=session.idle_timeout + transitions.PICTURE_LIMIT,
        duration_limit=_provider_limit(session),
    )


def _provider_limit(session: StreamingSession) -> timedelta:
    longest = session.account.duration_limit
    wanted = session.ends_at - session.created_at
    return min(wanted, longest) if longest else wanted


def _reason(exc: ProviderError) -> EndReason:
    if isinstance(exc, SessionGone):
        return EndReason.PROVIDER_ENDED
    if isinstance(exc, OutOfCredits):
        return EndReason.SPEND_CAP
    return EndReason.PROVIDER_REFUSED if isinstance(exc, ProviderRejected) else EndReason.PROVIDER_UNREACHABLE


async def picture_seen(session_id: UUID) -> RoomCommand | None:
    """The first picture was seen: the session is live, and the avatar says its greeting.

    Return a command when only the room's own participant may have it said.
    """

    def go_live() -> StreamingSession | None:
        session = StreamingSession.objects.select_related("account").get(pk=session_id)
        return session if transitions.go_live(session) else None

    commands: list[RoomCommand] = []

    async def give(command: RoomCommand) -> None:
        commands.append(command)

    session = await in_thread(go_live)()
    if session and (greeting := session.started_with.greeting):
        create = in_thread(SessionTask.objects.create)
        task = await create(session=session, kind=SessionTask.Kind.REPEAT, text=greeting)
        await send_task.deliver(session, task, give)
    return commands[0] if commands else None


async def interrupt(session_id: UUID) -> RoomCommand | None:
    """Silence the avatar; return a command when only the room's own participant may publish it.

    Raises NotLive, ProviderRefused, ProviderSilent.
    """
    session = await in_thread(deadlines.touch)(session_id)
    assert session.provider_session_id is not None
    delivery = await _asked(providers.for_account(session.account).interrupt(session.provider_session_id))
    await in_thread(events.record)(session_id, Entry(EventKind.INTERRUPTED))
    return delivery if isinstance(delivery, RoomCommand) else None


async def stay(session_id: UUID) -> None:
    """Somebody is there: both idle clocks start anew. Raises NotLive, ProviderRefused, ProviderSilent."""
    session = await in_thread(deadlines.stay)(session_id)
    assert session.provider_session_id is not None
    await _asked(providers.for_account(session.account).keep_alive(session.provider_session_id))


async def _asked(call: Awaitable[T]) -> T:
    """Await a provider's call for somebody who can be told of a refusal."""
    try:
        return await call
    except ProviderRejected as exc:
        raise errors.ProviderRefused from exc
    except ProviderUnreachable as exc:
        raise errors.ProviderSilent from exc


async def room_closed(session_id: UUID) -> None:
    """A browser says that its room was closed under it: ask the provider, and end here what is over there."""
    session = await in_thread(queries.find_running)(session_id)
    if session is None or not session.provider_session_id:
        return
    try:
        row = await provider_lookups.find_listed(session)
    except TooManyRequests:
        return  # as below
    except ProviderError as exc:
        logger.warning(
            "session %s: its room was closed, and the provider cannot be asked: %s", session_id, in_one_line(exc)
        )
        return  # the next comparison with the provider's list finds it
    if row is None:
        await stop(session, EndReason.PROVIDER_ENDED, end_evidence.not_listed(is_room_closed=True))
