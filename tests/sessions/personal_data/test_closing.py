"""Closing an account, by its user or by staff.

Nothing that identifies the user stays, and the record verifies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier, Event
from typing import Any
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from allauth.core.context import request_context
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.test import Client, RequestFactory
from django.utils import timezone

from avatars.models import ProviderAccount
from heygen_portal.models import Invitation, SignIn
from heygen_portal.people.invitations import joining
from heygen_portal.people.sign_in import throttle
from heygen_portal.people.sign_in.adapters import AccountAdapter
from heygen_portal.runtime import budgets
from heygen_portal.trail import audit_log, change_log, db_triggers, hash_chain
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry
from sessions import errors, tasks
from sessions.actions import stop
from sessions.admin.people import PersonAdmin
from sessions.capacity import queue, slots
from sessions.capacity.queue import TabAddress
from sessions.capacity.slots import StartRequest
from sessions.integrity import verification
from sessions.integrity.fault import Fault
from sessions.lifecycle import end_evidence, transitions
from sessions.models import QueueEntry, Quota, ServerProcess, StreamingSession
from sessions.personal_data import closing
from sessions.retention import erasure
from sessions.staff import stop_sessions
from tests.people.signed_in import age_login
from tests.sessions.retention.test_erasure import SECRET, ended_session, texts
from tests.support.databases import BOTH
from tests.support.factories import EndUserFactory, PersonaFactory, StreamingSessionFactory, UserFactory, sync_roles
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)

CLOSE = "/data/close/"
ENGLISH = {"Accept-Language": "en"}
PASSWORD = "wj3-longer-than-most"
NAME, ADDRESS, EARLIER = "ines.olmedo", "ines.olmedo@example.org", "olmedo-before"


@pytest.fixture
def administrator() -> User:
    sync_roles()
    user = UserFactory.create(username="the-administrator", email="admin@example.org", is_staff=True)
    user.groups.add(Group.objects.get(name="Administrators"))
    return user


@pytest.fixture
def person(administrator: User) -> User:
    return EndUserFactory.create(username=NAME, email=ADDRESS)


@pytest.fixture
def visitor(client: Client, person: User) -> Client:
    client.force_login(person)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


@pytest.fixture
def staff_client(administrator: User) -> Client:
    staff = Client(headers=ENGLISH)
    staff.force_login(administrator)
    return staff


def on_behalf(person: User) -> str:
    return f"/admin/auth/user/{person.pk}/close-account/"


def settled(person: User, administrator: User, staff: Client) -> Client:
    """Let a person leave traces wherever the portal keeps some; return their browser."""
    person.first_name, person.last_name, person.username = "Inés", "Olmedo Rivas", EARLIER
    person.set_password(PASSWORD)
    person.save()
    invitation = Invitation(email=ADDRESS, group=Group.objects.get(name="End users"))
    request = RequestFactory().get("/")
    request.user = administrator
    invitation.invited_by, invitation.expires_at = administrator, timezone.now() + joining.INVITATION_LIFETIME
    invitation.used_by, invitation.used_at = person, timezone.now()
    invitation.save(force_insert=True)
    audit_log.record(request, AuditEntry.Kind.INVITED, invitation)
    audit_log.record_by(person.pk, None, AuditEntry.Kind.JOINED, person, roles=[[], ["End users"]])
    before = audit_log.access_of(person) | audit_log.names_of(person)
    person.username = NAME
    person.save()
    audit_log.record_access_change(request, person, before)
    EmailAddress.objects.create(user=person, email=ADDRESS, primary=True, verified=True)
    SocialAccount.objects.create(user=person, provider="directory", uid="7", extra_data={"name": "Inés Olmedo"})
    Authenticator.objects.create(user=person, type=Authenticator.Type.RECOVERY_CODES, data={"seed": "x"})
    quota = Quota.objects.create(user=person, minutes_per_month=30)
    changes = change_log.diff(None, quota, change_log.editable_columns(Quota))
    change_log.record(Actor.of(request), AuditEntry.Kind.QUOTA_CHANGED, quota, changes)
    staff.post(f"/admin/avatar_sessions/quota/{quota.pk}/change/", {"user": person.pk, "minutes_per_month": 40})
    Invitation.objects.create(
        email="friend@example.org", group=Group.objects.get(name="End users"), invited_by=person,
        expires_at=timezone.now() + joining.INVITATION_LIFETIME,
    )  # fmt: skip
    data = {"extension": "json", "reason": f"Letter of {ADDRESS}, 3 March"}
    staff.post(f"/admin/auth/user/{person.pk}/personal-data/", data)
    stop_sessions.begin(administrator.pk, None, [StreamingSessionFactory.create(user=person).pk], "Quiet hours")
    Authenticator.objects.filter(user=person).delete()
    browser = Client(headers=ENGLISH)
    for password in ("wrong", PASSWORD):
        browser.post("/accounts/login/", {"login": NAME, "password": password}, HTTP_USER_AGENT="Browser")
    Authenticator.objects.create(user=person, type=Authenticator.Type.RECOVERY_CODES, data={"seed": "x"})
    return browser


def columns_containing(word: str) -> Iterator[str]:
    """Return table and column of every value that contains a word."""
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            for value in model._base_manager.values_list(field.attname, flat=True):
                shown = bytes(value).decode("latin-1") if isinstance(value, memoryview | bytes) else str(value)
                if word.casefold() in shown.casefold():
                    yield f"{model._meta.label}.{field.name}"


def test_no_table_identifies_the_user_afterwards(person: User, administrator: User, staff_client: Client) -> None:
    """New columns that keep a name fail here once `settled` fills them."""
    browser = settled(person, administrator, staff_client)
    session = ended_session(person)
    assert {
        "account.EmailAddress.email", "admin.LogEntry.object_repr", "auth.User.username", "axes.AccessLog.username",
        "heygen_portal.AuditEntry.about", "heygen_portal.AuditEntry.data", "heygen_portal.Invitation.email",
        "socialaccount.SocialAccount.extra_data",
    } <= set(columns_containing("olmedo"))  # fmt: skip
    hashes = dict(AuditEntry.objects.values_list("number", "hash"))

    page = browser.post(CLOSE, {"username": NAME})

    assert "Your account is closed" in page.content.decode()
    assert list(columns_containing("olmedo")) == []
    assert list(columns_containing("Inés")) == []
    assert texts(session) == [""]
    assert list(verification.faults()) == []
    assert hashes.items() <= dict(AuditEntry.objects.values_list("number", "hash")).items()
    assert browser.get("/data/").status_code == 302


def test_a_closed_account_is_anonymous_and_cannot_sign_in(visitor: Client, person: User) -> None:
    elsewhere = Client()
    elsewhere.force_login(person)
    Invitation.objects.create(
        email="friend@example.org", group=Group.objects.get(name="End users"), invited_by=person,
        expires_at=timezone.now() + joining.INVITATION_LIFETIME,
    )  # fmt: skip
    visitor.post(CLOSE, {"username": NAME})
    closed = User.objects.get(pk=person.pk)
    assert (closed.username, closed.email, closed.get_full_name()) == (f"closed-account-{person.pk}", "", "")
    assert (closed.is_active, closed.has_usable_password(), closed.groups.exists()) == (False, False, False)
    assert elsewhere.get("/data/")["Location"].startswith("/accounts/login/")
    assert not Invitation.objects.exists()
    assert not SignIn.objects.exists()
    entry = AuditEntry.objects.get(kind="account_closed")
    assert (entry.about, entry.by, entry.address) == (f"closed-account-{person.pk}", person, None)
    assert entry.data["roles"] == [["End users"], []]


def test_an_open_session_is_stopped_and_its_text_erased(visitor: Client, person: User) -> None:
    """The provider is unreachable.

    The account is closed, and the worker continues with the stop.
    """
    session = StreamingSessionFactory.create(user=person, provider_session_id="p-1")
    session.utterances.create(who="avatar", by="voice", text=SECRET, source="browser")
    page = visitor.post(CLOSE, {"username": NAME}).content.decode()
    session.refresh_from_db()
    assert (session.status, session.end_reason) == ("stopping", "user_stopped")
    assert session.deadline_at is not None
    assert "1 conversation is still being ended at its provider" in page
    StreamingSession.objects.filter(pk=session.pk).update(provider_session_id=None)
    stop._end_all([session.pk])
    assert texts(session) == [SECRET]
    tasks.erase_old_speech()
    assert texts(session) == [""]


def test_a_queued_user_leaves_the_queue_and_the_next_one_moves_up(visitor: Client, person: User) -> None:
    persona = PersonaFactory.create(published=True)
    process = ServerProcess.objects.create(lease_ends_at=timezone.now() + timedelta(minutes=1))
    queue.join(person.pk, persona, TabAddress(process.pk, "the-tab"))
    queue.join(UserFactory.create().pk, persona, TabAddress(process.pk, "another-tab"))
    visitor.post(CLOSE, {"username": NAME})
    assert queue.position_of("the-tab") is None
    behind = queue.position_of("another-tab")
    assert behind is not None
    assert (behind.position, behind.waiting) == (1, 1)


def test_held_text_is_erased_the_night_after_the_release(visitor: Client, person: User, administrator: User) -> None:
    held, other = ended_session(person), ended_session(person)
    hold = erasure.hold(held.pk, "Expediente 12", administrator.pk)
    assert "1 conversation under a legal hold" in visitor.get(CLOSE).content.decode()
    page = visitor.post(CLOSE, {"username": NAME}).content.decode()
    assert "1 conversation under a legal hold" in page
    assert (texts(held), texts(other)) == ([SECRET], [""])
    tasks.erase_old_speech()
    assert texts(held) == [SECRET]
    erasure.release(hold, administrator.pk)
    tasks.erase_old_speech()
    assert texts(held) == [""]
    assert list(verification.faults()) == []


@pytest.mark.parametrize("typed", ["", "ines", "INES.OLMEDO", "yes"])
def test_closing_needs_the_typed_user_name(visitor: Client, person: User, typed: str) -> None:
    assert visitor.post(CLOSE, {"username": typed}).status_code == 200
    assert User.objects.get(pk=person.pk).is_active


def test_closing_needs_reauthentication(visitor: Client, person: User) -> None:
    person.set_password(PASSWORD)
    person.save()
    visitor.force_login(person)
    age_login(visitor)
    asked = visitor.post(CLOSE, {"username": NAME})
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    assert User.objects.get(pk=person.pk).is_active
    visitor.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": CLOSE})
    assert not User.objects.get(pk=person.pk).is_active


def test_a_person_without_the_role_can_close_their_account(visitor: Client, person: User) -> None:
    person.groups.clear()
    assert visitor.get(CLOSE).status_code == 200
    visitor.post(CLOSE, {"username": NAME})
    assert not User.objects.get(pk=person.pk).is_active


def test_the_last_administrator_cannot_close_their_account(staff_client: Client, administrator: User) -> None:
    session = StreamingSessionFactory.create(user=administrator)
    assert "You are the only administrator" in staff_client.get(CLOSE).content.decode()
    page = staff_client.post(CLOSE, {"username": administrator.username}).content.decode()
    assert "You are the only administrator" in page
    administrator.refresh_from_db()
    session.refresh_from_db()
    assert (administrator.is_active, session.status) == (True, "live")
    another = UserFactory.create(is_superuser=True, is_staff=True, is_active=False)
    staff_client.post(CLOSE, {"username": administrator.username})
    assert User.objects.get(pk=administrator.pk).is_active
    User.objects.filter(pk=another.pk).update(is_active=True)
    staff_client.post(CLOSE, {"username": administrator.username})
    assert not User.objects.get(pk=administrator.pk).is_active


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_old_address_gets_a_mail(visitor: Client, settings: Any, language: str) -> None:
    settings.EMAIL_HOST = "mail.test"
    visitor.post(CLOSE, {"username": NAME}, headers={"Accept-Language": language})
    letter = mail.outbox[0]
    assert letter.to == [ADDRESS]
    assert {"en": "Your account was closed", "es": "Se ha cerrado tu cuenta"}[language] in letter.subject
    assert NAME in letter.body
    assert "http" not in letter.body  # there is no page to sign in to


# Staff, on a user's behalf


def test_staff_close_an_account_for_a_recorded_reason(staff_client: Client, person: User, administrator: User) -> None:
    session = ended_session(person)
    running = StreamingSessionFactory.create(user=person)
    assert staff_client.get(on_behalf(person)).status_code == 200
    staff_client.post(on_behalf(person), {"reason": "Letter of 3 March", "username": "the-administrator"})
    staff_client.post(on_behalf(person), {"reason": " ", "username": NAME})
    assert User.objects.get(pk=person.pk).is_active
    staff_client.post(on_behalf(person), {"reason": "Letter of 3 March", "username": NAME})
    entry = AuditEntry.objects.get(kind="account_closed")
    assert (entry.by, entry.about, entry.data["reason"]) == (
        administrator,
        f"closed-account-{person.pk}",
        "Letter of 3 March",
    )
    running.refresh_from_db()
    assert running.end_reason == "staff_stopped"
    assert texts(session) == [""]
    assert list(columns_containing("olmedo")) == []
    assert list(verification.faults()) == []


def test_staff_need_reauthentication_and_cannot_close_the_last_administrator(
    staff_client: Client, person: User, administrator: User
) -> None:
    assert staff_client.get(on_behalf(administrator))["Location"] == CLOSE
    age_login(staff_client)
    posted = {"reason": "Letter of 3 March", "username": NAME}
    assert staff_client.post(on_behalf(person), posted)["Location"].startswith("/accounts/reauthenticate/")
    assert User.objects.get(pk=person.pk).is_active


# The audit log


def closed_with_entries(person: User, administrator: User) -> int:
    """Close an account that entries name; return the number of the first of them."""
    number = audit_log.record_by(administrator.pk, None, AuditEntry.Kind.PASSWORD_SET, person).number
    audit_log.record_by(administrator.pk, None, AuditEntry.Kind.KEY_SET, "Account")
    browser = Client()
    browser.force_login(person)
    browser.post(CLOSE, {"username": NAME})
    assert list(columns_containing("olmedo")) == []
    return number


def faults_after(change: Callable[[], object]) -> list[Fault]:
    """Return the faults of a change by the database's owner, which is rolled back."""
    with transaction.atomic():
        with db_triggers.disabled(connection):
            change()
        found = list(verification.faults())
        transaction.set_rollback(True)
    return found


@pytest.mark.parametrize("database", BOTH)
def test_an_entry_with_replaced_names_still_verifies(request: pytest.FixtureRequest, database: str) -> None:
    if database == "postgres":
        request.getfixturevalue("postgres")
    administrator = request.getfixturevalue("administrator")
    number = closed_with_entries(request.getfixturevalue("person"), administrator)
    assert list(verification.faults()) == []
    changes: dict[str, Any] = {
        "about": "somebody-else",
        "data": {"person": 1, "is_renamed": True},
        "kind": "joined",
        "address": "192.0.2.9",
        "hash": "0" * 64,
        "prints": "0" * 48,
    }
    for column, value in changes.items():
        found = faults_after(partial(AuditEntry.objects.filter(number=number).update, **{column: value}))
        named = [(fault.table, fault.row, fault.column) for fault in found]
        assert named == [("audit_entry", str(number), column)]


@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("database", BOTH)
def test_a_changed_or_deleted_entry_of_a_closed_account_is_named(
    request: pytest.FixtureRequest, database: str, is_last: bool
) -> None:
    """The entries whose new content it states are not named instead."""
    if database == "postgres":
        request.getfixturevalue("postgres")
    number = closing_entry_number(request, is_last=is_last)
    entry = AuditEntry.objects.filter(number=number)
    changes: tuple[tuple[str, Any], ...] = (
        ("kind", "joined"),
        ("data", {"renamed": {}}),
        ("data", {"renamed": {}, "is_renamed": True}),
        ("about", "somebody-else"),
    )
    for column, value in changes:
        found = faults_after(partial(entry.update, **{column: value}))
        assert [(fault.kind, fault.row, fault.column) for fault in found] == [("changed", str(number), column)]
    found = faults_after(entry.delete)
    named = [(fault.kind, fault.number, fault.column) for fault in found]
    assert named == [("truncated" if is_last else "deleted", number, "")]


def test_an_entry_that_only_claims_replaced_names_is_named(person: User, administrator: User) -> None:
    """No entry of a closed account states the content, although its checksums match."""
    closed_with_entries(person, administrator)
    entry = audit_log.record_by(administrator.pk, None, AuditEntry.Kind.KEY_SET, "Account")
    audit_log.record_by(administrator.pk, None, AuditEntry.Kind.KEY_SET, "Account")
    entry.about, entry.data = "Another", {"is_renamed": True}
    prints = hash_chain.checksums(*entry.hashed_values())
    AuditEntry.objects.filter(pk=entry.pk).update(about=entry.about, data=entry.data, prints=prints)
    assert [(fault.kind, fault.row) for fault in verification.faults()] == [("changed", str(entry.number))]


def closing_entry_number(request: pytest.FixtureRequest, *, is_last: bool) -> int:
    """Close an account that entries name; return the closing entry's number."""
    administrator = request.getfixturevalue("administrator")
    closed_with_entries(request.getfixturevalue("person"), administrator)
    if not is_last:
        audit_log.record_by(administrator.pk, None, AuditEntry.Kind.KEY_SET, "Account")
    assert list(verification.faults()) == []
    return AuditEntry.objects.get(kind="account_closed").number


@pytest.mark.both_databases
@pytest.mark.parametrize("database", BOTH)
def test_the_database_allows_only_names_to_be_replaced(request: pytest.FixtureRequest, database: str) -> None:
    if database == "postgres":
        request.getfixturevalue("postgres")
    entry = audit_log.record_by(None, None, AuditEntry.Kind.KEY_SET, "Account")
    assert db_triggers.missing(connection) == []
    marked: dict[str, Any] = {"data": {"is_renamed": True}}
    changes: list[dict[str, Any]] = [
        {"about": "Another"},
        marked | {"kind": "joined"},
        marked | {"hash": "0"},
        {"data": {}},
    ]
    for change in changes:
        with pytest.raises(IntegrityError), transaction.atomic():
            AuditEntry.objects.filter(pk=entry.pk).update(**change)


def test_closing_does_not_hide_an_earlier_change_of_an_entry(person: User, administrator: User) -> None:
    entry = audit_log.record_by(
        administrator.pk, None, AuditEntry.Kind.ACCESS_CHANGED, person, is_superuser=[False, True]
    )
    with db_triggers.disabled(connection):
        AuditEntry.objects.filter(pk=entry.pk).update(data={"person": person.pk})
    browser = Client()
    browser.force_login(person)
    browser.post(CLOSE, {"username": NAME})
    assert [fault.row for fault in verification.faults()] == [str(entry.number)]


def test_two_people_named_in_one_entry_can_both_close_their_accounts(person: User, administrator: User) -> None:
    other = EndUserFactory.create(username="otto")
    rows = [StreamingSessionFactory.create(user=user).pk for user in (person, other)]
    stop_sessions.begin(administrator.pk, None, rows, "Quiet hours")
    for user in (person, other):
        browser = Client()
        browser.force_login(user)
        browser.post(CLOSE, {"username": user.username})
    entry = AuditEntry.objects.get(kind="sessions_stopped")
    assert entry.about == f"closed-account-{person.pk}, closed-account-{other.pk}"
    assert list(verification.faults()) == []


# Starts in flight


def test_a_start_that_was_checked_before_the_closing_stores_nothing_after_it(visitor: Client, person: User) -> None:
    """The account is closed after the access check and before the slot is taken."""
    persona = PersonaFactory.create(published=True)
    visitor.post(CLOSE, {"username": NAME})
    tab = TabAddress(uuid4(), "the-tab")
    for start in (slots.open_in_tab, slots.join_queue):
        where: Any = persona.slug if start is slots.open_in_tab else persona
        with pytest.raises(errors.AccessEnded) as refused:
            start(person.pk, where, tab, StartRequest())
        assert refused.value.details["loss"] == "deactivated"
    assert not StreamingSession.objects.exists()
    assert not QueueEntry.objects.exists()


@pytest.mark.parametrize("loss", ["role", "persona"])
def test_a_start_is_refused_where_access_ended_since_the_page_was_checked(
    person: User, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    persona = PersonaFactory.create(published=True)
    lock = queue.lock

    def lose(account_id: int) -> ProviderAccount:
        if loss == "role":
            person.groups.clear()
        else:
            persona.groups.add(Group.objects.create(name="Others"))
        return lock(account_id)

    monkeypatch.setattr(queue, "lock", lose)
    with pytest.raises(errors.AccessEnded) as refused:
        slots.open_in_tab(person.pk, persona.slug, TabAddress(uuid4(), "the-tab"), StartRequest())
    assert refused.value.details["loss"] == loss
    assert not StreamingSession.objects.exists()


def test_a_refused_session_does_not_queue_a_deactivated_user(person: User) -> None:
    session = StreamingSessionFactory.create(user=person, status="creating")
    User.objects.filter(pk=person.pk).update(is_active=False)
    tab, evidence = TabAddress(uuid4(), "the-tab"), end_evidence.person(person.pk)
    with pytest.raises(errors.AccessEnded):
        slots.requeue(session, tab, timezone.now(), evidence)
    session.refresh_from_db()
    assert session.status == "ended"
    assert not QueueEntry.objects.exists()


def test_a_start_that_is_being_stored_while_the_account_is_closed_is_stopped(
    postgres: None, person: User, administrator: User
) -> None:
    """The start has read that the user is active, and the closing then commits.

    The start holds its account's lock meanwhile.
    """
    persona = PersonaFactory.create(published=True)
    has_read, is_closed = Event(), Event()
    request = transitions.request

    def wait_for_the_closing(*args: Any, **kwargs: Any) -> StreamingSession:
        has_read.set()
        assert is_closed.wait(WAIT_TIMEOUT_S)
        return request(*args, **kwargs)

    def start() -> StreamingSession:
        try:
            return slots.open_in_tab(person.pk, persona.slug, TabAddress(process.pk, "the-tab"), StartRequest())
        finally:
            connection.close()

    process = ServerProcess.objects.create(id=uuid4(), lease_ends_at=timezone.now() + timedelta(hours=1))
    barrier = slots.await_starts

    def committed() -> None:
        is_closed.set()
        barrier()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(transitions, "request", wait_for_the_closing)
        patch.setattr(slots, "await_starts", committed)
        started = pool.submit(start)
        started.add_done_callback(lambda start: has_read.set())  # it may fail before it has read
        assert has_read.wait(WAIT_TIMEOUT_S)
        browser = Client()
        browser.force_login(person)
        browser.post(CLOSE, {"username": NAME})
        session = started.result(WAIT_TIMEOUT_S)
    session.refresh_from_db()
    assert session.status in ("stopping", "ended")
    assert session.end_reason == "user_stopped"


# Names and addresses of earlier days


def test_earlier_names_are_deleted_wherever_current_ones_are(
    visitor: Client, person: User, administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = "ines.before@example.org"
    request = RequestFactory().get("/")
    request.user = administrator
    person.username, person.email = EARLIER, old
    before = audit_log.access_of(person) | audit_log.names_of(person)
    person.username, person.email = NAME, ADDRESS
    audit_log.record_access_change(request, person, before)
    quotas = ContentType.objects.get_for_model(Quota)
    for number, name in enumerate((EARLIER, "another-person")):
        LogEntry.objects.create(
            user=administrator, content_type=quotas, object_id=str(number), object_repr=name, action_flag=2
        )
        AccessAttempt.objects.create(username=name, ip_address="192.0.2.7", failures_since_start=1, user_agent="x")
    Invitation.objects.create(
        email=old, group=Group.objects.get(name="End users"), invited_by=administrator,
        expires_at=timezone.now() + joining.INVITATION_LIFETIME,
    )  # fmt: skip
    cleared: list[tuple[str, object]] = []
    monkeypatch.setattr(budgets, "clear", lambda name, **who: cleared.extend((name, value) for value in who.values()))

    visitor.post(CLOSE, {"username": NAME})

    assert set(LogEntry.objects.values_list("object_repr", flat=True)) >= {"another-person"}
    assert set(AccessAttempt.objects.values_list("username", flat=True)) == {"another-person"}
    assert [place for word in ("olmedo", "ines") for place in columns_containing(word)] == []
    for name in (NAME, EARLIER, ADDRESS, old):
        key = throttle._name_key(name)
        assert {("sign_in_elsewhere", key), ("second_factor_elsewhere", key), ("password_mail", key)} <= set(cleared)


def test_log_rows_of_a_user_who_has_the_earlier_name_now_stay(
    visitor: Client, person: User, administrator: User
) -> None:
    request = RequestFactory().get("/")
    request.user = administrator
    audit_log.record_access_change(
        request, person, audit_log.access_of(person) | {"username": EARLIER, "email": ADDRESS}
    )
    EndUserFactory.create(username=EARLIER)
    AccessAttempt.objects.create(username=EARLIER, ip_address="192.0.2.7", failures_since_start=1, user_agent="x")
    visitor.post(CLOSE, {"username": NAME})
    assert AccessAttempt.objects.filter(username=EARLIER).exists()


# A closed account stays closed


def test_a_closed_account_is_read_only_in_the_user_admin(
    visitor: Client, staff_client: Client, person: User, administrator: User
) -> None:
    visitor.post(CLOSE, {"username": NAME})
    change = f"/admin/auth/user/{person.pk}/change/"
    page = staff_client.get(change).content.decode()
    assert "This account is closed and cannot be changed or opened again" in page
    assert 'name="is_active"' not in page
    assert f"/admin/auth/user/{person.pk}/close-account/" not in page
    User.objects.filter(pk=administrator.pk).update(is_superuser=True)
    assert staff_client.post(change, {"username": "back-again", "is_active": "on"}).status_code == 403
    password = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    assert staff_client.post(f"/admin/auth/user/{person.pk}/password/", password).status_code == 403
    closed = User.objects.get(pk=person.pk)
    assert (closed.is_active, closed.username, closed.has_usable_password()) == (
        False,
        f"closed-account-{person.pk}",
        False,
    )


def test_a_form_that_was_read_before_the_closing_does_not_bring_the_names_back(
    staff_client: Client, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Client()
    browser.force_login(person)
    save = PersonAdmin.save_model

    def close_first(*args: Any) -> None:
        browser.post(CLOSE, {"username": NAME})
        save(*args)

    monkeypatch.setattr(PersonAdmin, "save_model", close_first)
    joined = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    answer = staff_client.post(
        f"/admin/auth/user/{person.pk}/change/", {"username": NAME, "email": ADDRESS, "is_active": "on", **joined}
    )
    assert answer.status_code == 403


def test_a_password_chosen_while_the_account_closes_does_not_bring_the_names_back(
    visitor: Client, person: User
) -> None:
    read_before = User.objects.get(pk=person.pk)
    visitor.post(CLOSE, {"username": NAME})
    with request_context(RequestFactory().get("/")):
        AccountAdapter().set_password(read_before, PASSWORD)
    person.refresh_from_db()
    assert not person.is_active
    assert not person.has_usable_password()
    assert list(columns_containing(NAME)) == []


def test_only_what_was_said_before_the_closing_is_erased_at_night(visitor: Client, person: User) -> None:
    visitor.post(CLOSE, {"username": NAME})
    before, after = ended_session(person), ended_session(person)
    closed_at = AuditEntry.objects.get(kind="account_closed").at
    for session, began in ((before, closed_at - timedelta(hours=1)), (after, closed_at + timedelta(hours=1))):
        StreamingSession.objects.filter(pk=session.pk).update(created_at=began)
    for is_active in (False, True):
        User.objects.filter(pk=person.pk).update(is_active=is_active)
        tasks.erase_old_speech()
        assert (texts(before), texts(after)) == ([""], [SECRET])


# Closing at the same time


def test_closings_at_the_same_time_are_recorded_once_and_show_the_same_page(
    postgres: None, person: User, administrator: User
) -> None:
    session = ended_session(person)
    browsers = [Client(headers=ENGLISH) for _ in range(3)]
    for browser in browsers:
        browser.force_login(person)
    ready, close = Barrier(len(browsers)), closing.close

    def close_together(*args: Any, **kwargs: Any) -> closing.Outcome:
        ready.wait(WAIT_TIMEOUT_S)
        return close(*args, **kwargs)

    def post(browser: Client) -> str:
        try:
            return browser.post(CLOSE, {"username": NAME}).content.decode()
        finally:
            connection.close()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(browsers)) as pool:
        patch.setattr(closing, "close", close_together)
        pages = list(pool.map(post, browsers))
    assert all("Your account is closed" in page for page in pages)
    assert AuditEntry.objects.filter(kind="account_closed").count() == 1
    assert texts(session) == [""]


def test_staff_who_send_the_form_twice_see_the_closed_account(staff_client: Client, person: User) -> None:
    posted = {"reason": "Letter of 3 March", "username": NAME}
    pages = [staff_client.post(on_behalf(person), posted, follow=True).content.decode() for _ in range(2)]
    assert all("The account is closed." in page for page in pages)
    assert AuditEntry.objects.filter(kind="account_closed").count() == 1


def test_staff_are_told_if_the_user_became_the_last_administrator_meanwhile(
    staff_client: Client, administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = UserFactory.create(username="the-other", is_staff=True)
    other.groups.add(Group.objects.get(name="Administrators"))
    lock_head = audit_log.lock_head

    def deactivate_first() -> Any:
        User.objects.filter(pk=administrator.pk).update(is_active=False)
        return lock_head()

    monkeypatch.setattr(audit_log, "lock_head", deactivate_first)
    page = staff_client.post(on_behalf(other), {"reason": "Letter of 3 March", "username": "the-other"})
    assert page.status_code == 200
    assert "This is the only administrator" in page.content.decode()
    assert User.objects.get(pk=other.pk).is_active
