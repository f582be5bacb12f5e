"""Operations on the owner's running sessions: start, talk, interrupt, stay, stop."""

from __future__ import annotations

from uuid import UUID, uuid4

from ninja.responses import Status as Answer

from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.providers.contract.provider import RoomCommand, TaskKind
from heygen_portal.rest import problems
from heygen_portal.rest.operations import ApiRequest, Operations
from heygen_portal.runtime import budgets
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import control, send_task, staff_reasons, start_by_program, stop
from sessions.api.router import router
from sessions.api.schemas import (
    InterruptionOut,
    NewInterruption,
    NewSession,
    NewTask,
    RoomOut,
    SessionOut,
    StartedSession,
    StopRequest,
    TaskOut,
    command_out,
)
from sessions.capacity import slots
from sessions.capacity.slots import StartRequest
from sessions.lifecycle import end_evidence
from sessions.models import EndReason, Purpose, SessionTask, Status, StreamingSession
from sessions.presence import own_rooms, programs
from sessions.staff import stop_sessions

operations = Operations("Sessions", router)
START = (Scope.SESSIONS_START,)


@operations.post("/sessions", scopes=START, response={201: StartedSession}, costs_money=True)
async def create_session(request: ApiRequest, body: NewSession) -> Answer[StartedSession]:
    """Start a session and return the access to its room.

    The session belongs to the key's owner and counts against the owner's quota. The provider bills from here on: send
    `keep-alive`, or anything else about the session, at least every `keep_alive_seconds`, and stop it in the end.
    """
    caller = request.caller
    await budgets.spend("start", person=caller.user_id, address=caller.address)
    await in_thread(_require_allowed_persona)(caller, body.persona)
    wanted = StartRequest(
        quality=body.quality,
        encoding=body.encoding,
        is_taking_over=body.take_over,
        continues=body.continues,
        accepts=body.accepts,
    )
    started = await start_by_program.start(
        caller.user_id, body.persona, wanted, caller.key_prefix, float(body.wait_seconds)
    )
    described = SessionOut.of(started.session)
    return Answer(
        201,
        StartedSession(
            **described.model_dump(),
            room=RoomOut.of(started.room),
            keep_alive_seconds=int(programs.LEASE_DURATION.total_seconds()) // 2,
        ),
    )


@operations.post("/sessions/{uuid:session_id}/start", scopes=START, response=SessionOut)
async def start_session(request: ApiRequest, session_id: UUID) -> SessionOut:
    """Report that the avatar can be seen or heard: the session is live, and the avatar says its greeting.

    Repeating it changes nothing. A session that is not live a minute after its creation ends.
    """
    caller = await _own_running(request, session_id)
    async with send_task.session_lock(session_id):  # the greeting precedes texts
        if await in_thread(_is_connecting)(session_id):
            await in_thread(programs.record_ready)(session_id, caller.key_prefix)
            await control.first_frame_rendered(session_id)
    session = await in_thread(_read)(session_id)
    if session.status != Status.LIVE:
        raise errors.NotLive
    return SessionOut.of(session)


@operations.post("/sessions/{uuid:session_id}/tasks", scopes=START, response={201: TaskOut}, costs_money=True)
async def send_text(request: ApiRequest, session_id: UUID, body: NewTask) -> Answer[TaskOut]:
    """Have the avatar answer a text or say it word for word.

    The answer follows once the provider has accepted the text, not once it was said.
    """
    caller = await _own_running(request, session_id, budget="task")
    ref, commands = uuid4().hex, list[RoomCommand]()
    is_waiting = True

    async def give(command: RoomCommand) -> bool:
        # The sentences of the organisation's own model come once the program has its answer. They are not spoken then,
        # and the record says so.
        if is_waiting:
            commands.append(command)
        return is_waiting and body.can_publish

    async with send_task.session_lock(session_id):
        await send_task.send_task(
            session_id, text=body.text, kind=TaskKind(body.kind), user_id=caller.user_id, ref=ref, give_command=give
        )
    is_waiting = False
    task = await in_thread(SessionTask.objects.get)(session_id=session_id, ref=ref)
    return Answer(201, TaskOut.of(task, commands[0] if commands else None))


@operations.post("/sessions/{uuid:session_id}/interrupt", scopes=START, response=InterruptionOut)
async def interrupt_avatar(request: ApiRequest, session_id: UUID, body: NewInterruption) -> InterruptionOut:
    """Stop what the avatar is saying."""
    await _own_running(request, session_id, budget="act")
    commands = list[RoomCommand]()

    async def give(command: RoomCommand) -> bool:
        commands.append(command)
        return body.can_publish

    await control.interrupt(session_id, give)
    return InterruptionOut(room_command=command_out(commands[0] if commands else None))


@operations.post("/sessions/{uuid:session_id}/keep-alive", scopes=START, response=SessionOut)
async def keep_session_alive(request: ApiRequest, session_id: UUID) -> SessionOut:
    """Show that the program is still there.

    This does not extend the idle limit: a session without texts or speech ends all the same.
    """
    await _own_running(request, session_id)
    return SessionOut.of(await in_thread(_read)(session_id))


@operations.post("/sessions/{uuid:session_id}/stay", scopes=START, response=SessionOut)
async def stay_in_session(request: ApiRequest, session_id: UUID) -> SessionOut:
    """Start the idle limit over because the program's user wants to stay. The time limit counts on."""
    await _own_running(request, session_id, budget="act")
    await control.stay(session_id)
    return SessionOut.of(await in_thread(_read)(session_id))


@operations.post("/sessions/{uuid:session_id}/room", scopes=START, response=RoomOut)
async def renew_room_access(request: ApiRequest, session_id: UUID) -> RoomOut:
    """Return new access to the room of a running session, if the room is the portal's own."""
    caller = await _own_running(request, session_id)
    await budgets.spend("prepare", person=caller.user_id, address=caller.address)
    return RoomOut.of(await own_rooms.renew_access(session_id))


@operations.post(
    "/sessions/{uuid:session_id}/stop", scopes=(Scope.SESSIONS_START, Scope.SESSIONS_STOP), response=SessionOut
)
async def stop_session(request: ApiRequest, session_id: UUID, body: StopRequest) -> SessionOut:
    """Stop a session. Repeating it changes nothing.

    The provider's confirmation may follow: the status is then `stopping`, and the portal retries until it is `ended`.
    """
    caller = request.caller
    session = await in_thread(_find)(session_id)
    if session and session.user_id == caller.user_id and Scope.SESSIONS_START in caller.scopes:
        await stop.stop_by_id(session_id, EndReason.USER_STOPPED, end_evidence.person(caller.user_id))
    elif session and Scope.SESSIONS_STOP in caller.scopes:
        reason = staff_reasons.checked(body.reason)
        await budgets.spend("staff_action", person=caller.user_id, address=caller.address)
        await stop_sessions.stop_and_wait(caller.user_id, caller.address, [session_id], reason)
    else:
        raise problems.not_found()
    return SessionOut.of(await in_thread(_read)(session_id))


async def _own_running(request: ApiRequest, session_id: UUID, budget: str = "act") -> Caller:
    """Charge a request about the owner's running session, and count it as a sign of the program.

    Raises Problem for a session that is not the owner's or costs money and the key is for tests, and NotLive for one
    that has ended.
    """
    caller = request.caller
    await in_thread(_require_own)(caller, session_id)  # first: strangers must not use up the session's budget
    await budgets.spend(budget, session=session_id, person=caller.user_id, address=caller.address)
    if not await in_thread(programs.renew)(session_id):
        raise errors.NotLive
    return caller


def _require_own(caller: Caller, session_id: UUID) -> None:
    session = StreamingSession.objects.select_related("account").filter(pk=session_id).first()
    if session is None or session.user_id != caller.user_id or session.purpose != Purpose.TALK:
        raise problems.not_found()
    if caller.is_test and not session.account.is_emulated:
        raise problems.test_key()


def _require_allowed_persona(caller: Caller, slug: str) -> None:
    """Raise Problem if the persona is not open to the owner, or costs money and the key is for tests."""
    persona = slots.find_persona(slug, caller.user_id)
    if caller.is_test and not persona.avatar.account.is_emulated:
        raise problems.test_key()


def _is_connecting(session_id: UUID) -> bool:
    return StreamingSession.objects.filter(pk=session_id, status=Status.CONNECTING).exists()


def _find(session_id: UUID) -> StreamingSession | None:
    return StreamingSession.objects.filter(pk=session_id).first()


def _read(session_id: UUID) -> StreamingSession:
    return StreamingSession.objects.select_related("persona").get(pk=session_id)
