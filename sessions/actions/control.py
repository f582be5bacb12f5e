"""Control a running session: go live with the greeting, interrupt, keep alive."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar
from uuid import UUID

from django.db import transaction

from heygen_portal import providers
from heygen_portal.providers.contract.provider import ProviderRejected, ProviderUnreachable, RoomCommand
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import deadlines, queries, send_task
from sessions.actions.send_task import GiveCommand
from sessions.brain import record, running
from sessions.lifecycle import transitions
from sessions.models import SessionTask, SpeechErased, StreamingSession

T = TypeVar("T")


async def first_frame_rendered(session_id: UUID, give_command: GiveCommand | None = None) -> None:
    """Make the session live and have the avatar say its greeting. Safe to repeat."""
    if greeting := await go_live(session_id):
        await send_task.deliver(greeting.session, greeting, give_command)


async def go_live(session_id: UUID) -> SessionTask | None:
    """Make the session live; return its greeting to deliver. Idempotent."""

    def go() -> SessionTask | None:
        session = StreamingSession.objects.select_related("account").get(pk=session_id)
        if not transitions.go_live(session) or not (text := session.started_with.greeting):
            return None
        try:
            with transaction.atomic():
                return SessionTask.objects.create(session=session, kind=SessionTask.Kind.REPEAT, text=text)
        except SpeechErased:
            return None  # the session has ended meanwhile

    return await in_thread(go)()


async def interrupt(session_id: UUID, give_command: GiveCommand | None = None) -> None:
    """Interrupt the avatar.

    Raises NotLive, ProviderRefused, ProviderSilent, and NotPublished if only the page can do it and does not.
    """
    here = running.interrupt(session_id, running.INTERRUPT)  # before any query
    session = await in_thread(_interrupted)(session_id)
    assert session.provider_session_id is not None
    provider = providers.for_account(session.account)
    delivery = await _with_user_errors(provider.interrupt(session.provider_session_id))
    is_accepted = not isinstance(delivery, RoomCommand)
    if isinstance(delivery, RoomCommand) and not (give_command and await give_command(delivery)):
        raise errors.NotPublished
    await in_thread(deadlines.record_interrupted)(session_id, is_accepted=is_accepted)
    if here:
        await here.ended()
        if here.has_sent_late and is_accepted:
            await _with_user_errors(provider.interrupt(session.provider_session_id))
    elif session.started_with.has_own_brain:
        await in_thread(record.cut_last)(session_id)


def _interrupted(session_id: UUID) -> StreamingSession:
    """Return a live session, whose answer no process continues. Raises NotLive."""
    session = queries.find_live(session_id)
    if session.started_with.has_own_brain:
        record.interrupt(session_id, running.INTERRUPT)
    return session


async def stay(session_id: UUID) -> None:
    """Start the idle limit over, here and at the provider.

    Raises NotLive, ProviderRefused, ProviderSilent.
    """
    session = await in_thread(deadlines.stay)(session_id)
    assert session.provider_session_id is not None
    await _with_user_errors(providers.for_account(session.account).keep_alive(session.provider_session_id))


async def _with_user_errors(call: Awaitable[T]) -> T:
    """Await a provider's call and raise its failure as an error for the user."""
    try:
        return await call
    except ProviderRejected as exc:
        raise errors.ProviderRefused from exc
    except ProviderUnreachable as exc:
        raise errors.ProviderSilent from exc
