"""Control a running session: go live with the greeting, interrupt, keep alive."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar
from uuid import UUID

from heygen_portal import providers
from heygen_portal.providers.contract.provider import ProviderRejected, ProviderUnreachable, RoomCommand
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import deadlines, send_task
from sessions.lifecycle import events, transitions
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import SessionTask, StreamingSession

T = TypeVar("T")


async def first_frame_rendered(session_id: UUID) -> RoomCommand | None:
    """Make the session live and have the avatar say its greeting. Safe to repeat.

    Return a command if only a participant of the room can trigger the greeting.
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
    """Interrupt the avatar.

    Return a command if only a participant of the room can do it. Raises NotLive, ProviderRefused, ProviderSilent.
    """
    session = await in_thread(deadlines.extend_idle_limit)(session_id)
    assert session.provider_session_id is not None
    delivery = await _with_user_errors(providers.for_account(session.account).interrupt(session.provider_session_id))
    await in_thread(events.record)(session_id, Entry(EventKind.INTERRUPTED))
    return delivery if isinstance(delivery, RoomCommand) else None


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
