"""A socket that was opened with access is closed when the access is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.testing import WebsocketCommunicator
from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from avatars.models import Persona
from heygen_portal.asgi import application
from heygen_portal.models import holders_of
from heygen_portal.people.access import live_access
from heygen_portal.people.access.live_access import Claim
from heygen_portal.people.access.roles import AUDITOR, ROLES, START_SESSION
from sessions.capacity import persona_access
from sessions.models import EndReason, Status, StreamingSession
from sessions.web import page_socket
from tests.sessions.tabs import ORIGIN, Tab, a_person, a_persona, browser
from tests.support.factories import EndUserFactory, PersonaFactory, StreamingSessionFactory, UserFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("provider_of_many")]


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def lose_the_role(user: User) -> None:
    user.groups.clear()


def change_the_password(user: User) -> None:
    user.set_password("another-than-before")
    user.save()


def delete_the_login(user: User) -> None:
    Session.objects.all().delete()


def expire_the_login(user: User) -> None:
    Session.objects.update(expire_date=timezone.now())


def need_a_second_factor(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True)


WAYS: list[tuple[Callable[[User], None], str, int]] = [
    (deactivate, "access_ended", 4403),
    (lose_the_role, "access_ended", 4403),
    (change_the_password, "signed_out", 4401),
    (delete_the_login, "signed_out", 4401),
    (expire_the_login, "signed_out", 4401),
    (need_a_second_factor, "second_factor_needed", 4428),
]
ways = pytest.mark.parametrize(("lose", "code", "close_code"), WAYS, ids=[way[0].__name__ for way in WAYS])


async def is_closed_with(tab: WebsocketCommunicator, code: str, close_code: int) -> dict[str, Any]:
    """Read messages until the socket is closed; return the error."""
    error: dict[str, Any] = {}
    while True:
        message = await tab.receive_output(timeout=WAIT_TIMEOUT_S)
        if message["type"] == "websocket.close":
            assert message["code"] == close_code
            assert error["code"] == code
            return error
        if f'"{code}"' in message["text"]:
            error = tab_json(message["text"])


def tab_json(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


USES = ("session.start", "session.join", "task.send", "room.prepare")


@pytest.mark.parametrize(
    ("use", "lose", "code", "close_code"),
    [(USES[number % len(USES)], *way) for number, way in enumerate([*WAYS, *WAYS[:2]])],
)
@override_settings(STAFF_NEEDS_SECOND_FACTOR=True)
async def test_lost_access_is_noticed_at_the_next_use(
    provider: Mock, lose: Callable[[User], None], code: str, close_code: int, use: str
) -> None:
    user, persona = await a_person(), await a_persona(avatar__account__rooms="own")
    tab = await sync_to_async(Tab)(user, persona.slug)
    assert (await tab.connect(timeout=WAIT_TIMEOUT_S))[0]
    session_id = ""
    if use in ("session.join", "task.send"):
        session = await sync_to_async(running_of)(user, persona)
        session_id = str(session.pk)
        await tab.say("session.join", session_id=session_id)
        await tab.hear("session.status")
    await sync_to_async(lose)(user)
    await tab.say(use, session_id=session_id, text="hola", kind="talk", ref="1")
    await is_closed_with(tab, code, close_code)
    assert not provider.new_session.called
    assert not provider.send_task.called


def running_of(user: User, persona: Any) -> StreamingSession:
    session: StreamingSession = StreamingSessionFactory.create(user=user, persona=persona)
    return session


@ways
@override_settings(STAFF_NEEDS_SECOND_FACTOR=True)
async def test_an_unused_open_socket_is_closed_by_the_next_check(
    lose: Callable[[User], None], code: str, close_code: int
) -> None:
    user, other, persona = await a_person(), await a_person(), await a_persona()
    tab = await sync_to_async(Tab)(user, persona.slug, lang="es")
    assert (await tab.connect(timeout=WAIT_TIMEOUT_S))[0]
    async with browser(other, persona.slug):
        bystander = {socket for socket in page_socket._open_sockets if socket.claim and socket.person == other.pk}
        await sync_to_async(lose)(user)
        await page_socket.check_access([socket for socket in page_socket._open_sockets if socket not in bystander])
        error = await is_closed_with(tab, code, close_code)
        assert error["words"]
        assert all(socket.is_open for socket in bystander)


async def test_an_open_socket_is_checked_without_being_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_socket, "ACCESS_CHECK_S", 0.1)
    user, persona = await a_person(), await a_persona()
    tab = await sync_to_async(Tab)(user, persona.slug)
    assert (await tab.connect(timeout=WAIT_TIMEOUT_S))[0]
    await sync_to_async(deactivate)(user)
    await is_closed_with(tab, "access_ended", 4403)


@pytest.mark.parametrize("lose", [deactivate, lose_the_role])
async def test_a_running_session_of_a_user_without_access_ends(lose: Callable[[User], None]) -> None:
    user, persona = await a_person(), await a_persona()
    tab = await sync_to_async(Tab)(user, persona.slug)
    assert (await tab.connect(timeout=WAIT_TIMEOUT_S))[0]
    session_id = await tab.go_live()
    await sync_to_async(lose)(user)
    await page_socket.check_access(list(page_socket._open_sockets))
    session = await StreamingSession.objects.aget(pk=session_id)
    assert (session.status, session.end_reason) == (Status.ENDED, EndReason.STAFF_STOPPED)
    assert session.end_evidence["code"] == "access_lost"


@pytest.mark.parametrize("lose", [deactivate, lose_the_role])
async def test_a_running_session_ends_although_its_tab_has_joined_another(lose: Callable[[User], None]) -> None:
    user, persona = await a_person(), await a_persona()
    ended = await sync_to_async(StreamingSessionFactory.create)(user=user, persona=persona, status=Status.ENDED)
    tab = await sync_to_async(Tab)(user, persona.slug)
    assert (await tab.connect(timeout=WAIT_TIMEOUT_S))[0]
    session_id = await tab.go_live()
    await tab.say("session.join", session_id=str(ended.pk))
    await tab.hear("session.status", session_id=str(ended.pk))
    await sync_to_async(lose)(user)
    await page_socket.check_access(list(page_socket._open_sockets))
    session = await StreamingSession.objects.aget(pk=session_id)
    assert (session.status, session.end_reason) == (Status.ENDED, EndReason.STAFF_STOPPED)


@pytest.mark.parametrize("path", ["/ws/board/", "/ws/personas/{slug}/trial/"])
@pytest.mark.parametrize("lose", [deactivate, lose_the_role, delete_the_login])
async def test_board_and_trial_sockets_are_closed_as_well(path: str, lose: Callable[[User], None]) -> None:
    def administrator() -> tuple[User, str]:
        user: User = UserFactory.create(is_staff=True)
        user.groups.add(Group.objects.get(name=ROLES[-1].group))
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return user, client.cookies["sessionid"].value

    persona = await a_persona()
    user, cookie = await sync_to_async(administrator)()
    headers = [ORIGIN, (b"host", b"localhost"), (b"cookie", f"sessionid={cookie}".encode())]
    page = WebsocketCommunicator(application, path.format(slug=persona.slug) + "?lang=en", headers=headers)
    assert (await page.connect(timeout=WAIT_TIMEOUT_S))[0]
    await sync_to_async(lose)(user)
    await page_socket.check_access(list(page_socket._open_sockets))
    code, close_code = ("signed_out", 4401) if lose is delete_the_login else ("access_ended", 4403)
    await is_closed_with(page, code, close_code)


def test_two_thousand_sockets_are_checked_with_two_queries() -> None:
    person = EndUserFactory.create()
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    key = client.cookies["sessionid"].value
    claims = [Claim(key, person.pk, START_SESSION)] + [
        Claim(f"gone-{n}", person.pk + 1 + n, START_SESSION) for n in range(1999)
    ]
    with CaptureQueriesContext(
        connection,
    ) as asked:
        lost = live_access.losses(claims)
    assert len(lost) == 1999
    assert len(asked) == 2


@pytest.mark.parametrize("database", ["transactional_db", "postgres"])
def test_permissions_equal_those_of_django(request: pytest.FixtureRequest, database: str) -> None:
    request.getfixturevalue(database)
    ContentType.objects.clear_cache()  # PostgreSQL's tables are left empty
    create_permissions(apps.get_app_config("avatar_sessions"), verbosity=0)
    by_role, by_name, by_power, without, by_sql, by_group = (
        EndUserFactory.create(),
        *(UserFactory.create() for _ in range(5)),
    )
    permission = Permission.objects.get(codename=START_SESSION.split(".")[1])
    by_name.user_permissions.add(permission)
    User.objects.filter(pk=by_power.pk).update(is_superuser=True)
    # Rows that grant nothing: only the table of roles in code does.
    for person, name in ((by_sql, AUDITOR.group), (by_group, "Customers")):
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.add(permission)
        person.groups.add(group)
    claims = {}
    for person in (by_role, by_name, by_power, without, by_sql, by_group):
        client = Client()
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        claims[person] = Claim(client.cookies["sessionid"].value, person.pk, START_SESSION)
    lost = live_access.losses(claims.values())
    assert [lost.get(claim) for claim in claims.values()] == [None, None, None, *[live_access.Loss.ROLE] * 3]
    people = [User.objects.get(pk=person.pk) for person in claims]
    may = [True, True, True, False, False, False]
    assert [person.has_perm(START_SESSION) for person in people] == may
    assert [person.has_module_perms("avatar_sessions") for person in people] == [*may[:4], True, False]
    assert [START_SESSION in person.get_all_permissions() for person in people] == may
    assert set(holders_of(START_SESSION)) == {person for person, is_held in zip(people, may, strict=True) if is_held}
    fresh = [User.objects.get(pk=person.pk) for person in claims]
    assert [async_to_sync(person.ahas_perm)(START_SESSION) for person in fresh] == may


def limited(persona: Persona, *groups: Group) -> None:
    persona.groups.set(groups)


@pytest.mark.parametrize("database", ["transactional_db", "postgres"])
def test_one_text_is_checked_with_one_query_as_strictly_as_all_sockets_together(
    request: pytest.FixtureRequest, database: str
) -> None:
    request.getfixturevalue(database)
    ContentType.objects.clear_cache()  # PostgreSQL's tables are left empty
    create_permissions(apps.get_app_config("avatar_sessions"), verbosity=0)
    member = Group.objects.create(name="members")
    open_to_all, of_members, of_others, draft = (PersonaFactory.create(published=True) for _ in range(4))
    limited(of_members, member, Group.objects.create(name="others"))
    limited(of_others, Group.objects.get(name="others"))
    Persona.objects.filter(pk=draft.pk).update(status=Persona.Status.DRAFT)

    def claim_of(*personas: Persona, lose: str = "") -> Claim:
        person = EndUserFactory.create()
        person.groups.add(member)
        client = Client()
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        key = client.cookies["sessionid"].value
        if lose == "login":
            Session.objects.filter(pk=key).delete()
        elif lose == "expired":
            Session.objects.filter(pk=key).update(expire_date=timezone.now() - timedelta(seconds=1))
        elif lose == "role":
            person.groups.set([member])
        elif lose == "active":
            User.objects.filter(pk=person.pk).update(is_active=False)
        elif lose == "password":
            person.set_password("another")
            person.save()
        elif lose == "other":
            return Claim(key, EndUserFactory.create().pk, START_SESSION, persona_ids=frozenset({open_to_all.pk}))
        return Claim(key, person.pk, START_SESSION, lose == "staff", frozenset(persona.pk for persona in personas))

    held = [claim_of(), claim_of(open_to_all), claim_of(open_to_all, of_members)]
    lost = [claim_of(of_others), claim_of(draft), claim_of(open_to_all, of_others), claim_of(open_to_all, draft)]
    ways_to_lose = ("login", "expired", "role", "active", "password", "other", "staff")
    lost += [claim_of(open_to_all, lose=way) for way in ways_to_lose]
    lost += [Claim("gone", 10**9, START_SESSION), replace(held[1], persona_ids=frozenset({10**9}))]
    together = persona_access.losses([*held, *lost])
    assert set(together) == set(lost)
    for claim in (*held, *lost):
        with CaptureQueriesContext(connection) as asked:
            assert persona_access.loss(claim) == together.get(claim)
        assert len(asked) == 1


def test_every_socket_is_checked_within_half_a_minute() -> None:
    assert page_socket.ACCESS_CHECK_S + page_socket.ACCESS_CHECK_S / page_socket.ACCESS_CHECK_PARTS <= 30


@sync_to_async
def limit_to_another_group(persona: Persona) -> None:
    persona.groups.add(Group.objects.create(name="others"))


@sync_to_async
def unpublish(persona: Persona) -> None:
    Persona.objects.filter(pk=persona.pk).update(status=Persona.Status.DRAFT)


@sync_to_async
def limit_to_nobody_after_all(persona: Persona) -> None:
    group = Group.objects.create(name="empty")
    persona.groups.add(group)
    Persona.objects.filter(pk=persona.pk).update(status=Persona.Status.DRAFT)


withdrawals = pytest.mark.parametrize("withdraw", [limit_to_another_group, unpublish, limit_to_nobody_after_all])


@withdrawals
@pytest.mark.parametrize("use", ["task.send", "session.join", "session.start"])
async def test_a_withdrawn_persona_is_refused_and_its_session_ends(provider: Mock, withdraw: Any, use: str) -> None:
    user, persona = await a_person(), await a_persona()
    tab = await sync_to_async(Tab)(user, persona.slug)
    assert (await tab.connect(timeout=WAIT_TIMEOUT_S))[0]
    session_id = await tab.go_live()
    begun = provider.new_session.call_count
    await withdraw(persona)
    await tab.say(use, session_id=session_id, continues=session_id, text="hola", kind="talk", ref="1")
    await is_closed_with(tab, "access_ended", 4403)
    await ended_for_the_persona(session_id)
    assert provider.new_session.call_count == begun
    assert not provider.send_task.called


@withdrawals
async def test_the_session_of_a_withdrawn_persona_ends_with_the_next_check(withdraw: Any) -> None:
    user, persona = await a_person(), await a_persona()
    tab = await sync_to_async(Tab)(user, persona.slug)
    assert (await tab.connect(timeout=WAIT_TIMEOUT_S))[0]
    session_id = await tab.go_live()
    await withdraw(persona)
    await page_socket.check_access(list(page_socket._open_sockets))
    await is_closed_with(tab, "access_ended", 4403)
    await ended_for_the_persona(session_id)


@withdrawals
async def test_the_page_of_another_persona_does_not_bypass_the_check(provider: Mock, withdraw: Any) -> None:
    user, persona = await a_person(), await a_persona()
    other = await a_persona(avatar=persona.avatar)
    tab = await sync_to_async(Tab)(user, persona.slug)
    assert (await tab.connect(timeout=WAIT_TIMEOUT_S))[0]
    session_id = await tab.go_live()
    detour = await sync_to_async(Tab)(user, other.slug)
    assert (await detour.connect(timeout=WAIT_TIMEOUT_S))[0]
    await withdraw(persona)
    await detour.say("session.join", session_id=session_id)
    await is_closed_with(detour, "access_ended", 4403)
    await tab.disconnect(timeout=WAIT_TIMEOUT_S)


async def test_a_persona_for_the_users_group_stays_available() -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        await sync_to_async(lambda: persona.groups.add(*user.groups.all()))()
        await page_socket.check_access(list(page_socket._open_sockets))
        await tab.say("task.send", text="hola", kind="talk", ref="1")
        assert (await tab.hear("task.sent"))["status"] == "sent"


async def ended_for_the_persona(session_id: str) -> None:
    for _ in range(200):
        session = await StreamingSession.objects.aget(pk=session_id)
        if session.status == Status.ENDED:
            break
        await asyncio.sleep(0.02)  # the page is informed before the session has ended
    assert (session.end_reason, session.end_evidence["loss"]) == (EndReason.STAFF_STOPPED, "persona")
