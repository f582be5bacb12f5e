"""Create a session at the provider, hand its room to the browser, and start it.

Network calls are async and hold neither a thread nor a database connection; database work is done in short steps
through `in_thread`. Concurrent callers are safe: `lifecycle` lets exactly one of them make each transition.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count

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
    Quality,
    RoomAccess,
    SessionGone,
    SessionRequest,
)
from heygen_portal.providers.openai.client import load_package
from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from sessions.actions import queries
from sessions.actions.stop import end_unopened, error_for_log, finish_stop, stop, try_reconcile
from sessions.lifecycle import end_evidence, first_frame, transitions
from sessions.models import EndReason, StreamingSession
from sessions.presence import brain_access, own_rooms

logger = logging.getLogger(__name__)

STORE_TIMEOUT_S = 5
FIRST_RETRY_DELAY_S, MAX_RETRY_DELAY_S = 0.25, 30
# About 15 minutes: the worker has long ended the row by then.
MAX_ATTEMPTS_ONCE_CLOSED = 40

GiveRoom = Callable[[RoomAccess], Awaitable[None]]


async def create_and_start(session: StreamingSession, give_room: GiveRoom, prepared: str = "") -> None:
    """Create the session at the provider, hand over its room and start the avatar.

    `prepared` is the name of a room on our own LiveKit that the browser may have joined already. A provider failure
    ends the session with a reason and raises nothing, except LimitReached when the provider has no free slot: the
    caller then ends the session, because it knows how the person can wait.
    """
    provider = providers.for_account(session.account)
    try:
        own_room = await own_rooms.assign(session, prepared) if session.account.has_own_rooms else None
        answer = await _create(session, provider, own_room)
    except LimitReached:
        await own_rooms.delete(session.room)
        raise
    except ProviderError as exc:
        await _end_after_failure(session, provider, exc)
        return
    # Sent before the browser gets the room and not awaited, so that the two run in parallel.
    starting = asyncio.create_task(provider.start_session(answer))
    try:
        await _connect_and_start(session, provider, answer, starting, own_room, give_room)
    except BaseException as exc:  # whatever failed, the session is open at the provider by now
        background.spawn(_store_or_stop(session, provider, answer, starting, type(exc).__name__))
        raise


async def _connect_and_start(
    session: StreamingSession,
    provider: Provider,
    answer: ProviderSession,
    starting: asyncio.Task[ProviderSession],
    own_room: OwnRoom | None,
    give_room: GiveRoom,
) -> None:
    """Store the provider's answer, hand over the room and wait for the start."""
    if not await in_thread(transitions.connect)(session, answer):
        await asyncio.wait([starting])  # stopped meanwhile: let the call finish, then undo it
        starting.exception()
        await finish_stop(session, provider)
        return
    room = livekit.for_person(own_room.name) if own_room else answer.room
    if room:
        await give_room(room)
    try:
        started = await starting
    except ProviderError as exc:
        await stop(session, _end_reason(exc), end_evidence.provider_failed(exc))
        return
    if not room and started.room:
        await give_room(started.room)  # some providers name the room only now
    if not await in_thread(transitions.record_started)(session, started):
        with suppress(ProviderError):  # stopped during the start; the worker retries if this fails
            await provider.stop_session(answer.provider_session_id)


async def _store_or_stop(
    session: StreamingSession,
    provider: Provider,
    answer: ProviderSession,
    starting: asyncio.Task[ProviderSession],
    error: str,
) -> None:
    """Store the provider's session ID on the row, or stop the session there.

    Whichever works first is enough. On a shared account nothing else would stop it. Retries as long as both the
    database and the provider fail and this process lives.
    """
    await asyncio.wait([starting])  # let the call finish, then undo it
    starting.exception()
    is_closed = False
    for attempt in count():
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                goes_on = await in_thread(transitions.store_after_failure)(
                    session, answer, end_evidence.opening_failed(error)
                )
        except Exception as exc:  # noqa: BLE001 - every failure is retried
            values = (session.pk, answer.provider_session_id, type(exc).__name__)
            logger.warning("session %s: the provider's ID %s could not be stored: %s", *values)
        else:
            if not goes_on:
                await finish_stop(session, provider)
            return
        if not is_closed and (is_closed := await _is_closed(session, provider, answer.provider_session_id)):
            await own_rooms.delete(session.room)
        if is_closed and attempt >= MAX_ATTEMPTS_ONCE_CLOSED:
            logger.error("session %s: the provider's ID %s is not on its row", session.pk, answer.provider_session_id)
            return
        await asyncio.sleep(min(FIRST_RETRY_DELAY_S * 2 ** min(attempt, 20), MAX_RETRY_DELAY_S))


async def _is_closed(session: StreamingSession, provider: Provider, provider_session_id: str) -> bool:
    try:
        await provider.stop_session(provider_session_id)
    except SessionGone:
        pass
    except ProviderError as exc:
        logger.warning("session %s: %s was not stopped: %s", session.pk, provider_session_id, error_for_log(exc))
        return False
    return True


async def _create(session: StreamingSession, provider: Provider, own_room: OwnRoom | None) -> ProviderSession:
    """Create the session.

    If the provider has no free slot, close unused sessions there and try once more.
    """
    request = replace(request_for(session), room=own_room)
    if session.started_with.has_own_brain:
        background.spawn(load_package())
    if session.started_with.is_heard_by_own_brain:
        request = replace(request, custom_model_id=await brain_access.assign(session))
    if session.continues_id and session.account.capabilities.accepts_history:
        knowledge, conversation_history = await in_thread(queries.conversation_memory)(session)
        request = replace(request, knowledge=knowledge, conversation_history=conversation_history)
    try:
        return await provider.new_session(request)
    except LimitReached as exc:
        logger.warning("session %s: no slot at the provider: %s", session.pk, error_for_log(exc))
        await try_reconcile(session.account, refused=session.pk)
    return await provider.new_session(request)


async def _end_after_failure(session: StreamingSession, provider: Provider, exc: ProviderError) -> None:
    """End a session that the provider refused, or may have created."""
    logger.warning("session %s: creating it failed: %s", session.pk, error_for_log(exc))
    if isinstance(exc, ProviderRejected | NotSent):
        await end_unopened(session, _end_reason(exc), end_evidence.provider_failed(exc))
        await own_rooms.delete(session.room)
    else:
        await in_thread(transitions.begin_stop)(session, _end_reason(exc), end_evidence.provider_failed(exc))
        await finish_stop(session, provider)


def request_for(session: StreamingSession) -> SessionRequest:
    """Return the request for a session with its stored settings."""
    settings = session.started_with
    return SessionRequest(
        avatar_id=settings.avatar_id,
        voice_id=settings.voice_id,
        voice_rate=settings.voice_rate,
        voice_emotion=settings.voice_emotion,
        voice_settings=settings.voice_settings,
        knowledge_base_id=settings.knowledge_base_id,
        language=settings.language,
        quality=Quality(settings.quality) if settings.quality else None,
        video_encoding=settings.encoding or ENCODINGS[0],
        takes_voice=settings.takes_voice,
        interactivity=Interactivity(settings.interactivity),
        breaks_silence=settings.breaks_silence,
        # The portal enforces its own limits. The provider's only have to be later, and its duration starts later.
        idle_timeout=session.idle_timeout + first_frame.TIMEOUT,
        duration_limit=_provider_limit(session),
    )


def _provider_limit(session: StreamingSession) -> timedelta:
    longest = session.account.duration_limit
    wanted = session.ends_at - session.created_at
    return min(wanted, longest) if longest else wanted


def _end_reason(exc: ProviderError) -> EndReason:
    if isinstance(exc, SessionGone):
        return EndReason.PROVIDER_ENDED
    if isinstance(exc, OutOfCredits):
        return EndReason.SPEND_CAP
    return EndReason.PROVIDER_REFUSED if isinstance(exc, ProviderRejected) else EndReason.PROVIDER_UNREACHABLE
