"""Privacy information, retention of personal data, and access to it."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import DataError, connection
from django.test import Client, override_settings
from django.utils import timezone, translation

from avatars.models import Persona, ProviderAccount
from heygen_portal import tasks
from heygen_portal.models import Invitation
from heygen_portal.trail import audit_log, db_triggers
from heygen_portal.trail.models import AuditEntry
from sessions.audit import inspection
from sessions.exports import session_export
from sessions.models import Erasure, Export, ProviderErasure, Quota, SessionTotal, SpeechKey, StreamingSession
from sessions.personal_data import contents as personal_data
from sessions.personal_data import html_page as personal_data_page
from tests.sessions.retention.test_erasure import SECRET, ended_session, texts
from tests.support.factories import EndUserFactory, PersonaFactory, StreamingSessionFactory, UserFactory, user_of

pytestmark = pytest.mark.django_db

READERS = "You, and authorised staff"
WATCHED, UNWATCHED = "Authorised staff can watch and listen", "Staff cannot watch or listen"


@pytest.fixture
def visitor(client: Client) -> Client:
    client.force_login(EndUserFactory.create())
    return client


def page(client: Client, path: str, language: str = "en") -> str:
    return html.unescape(client.get(path, headers={"accept-language": language}).content.decode())


def persona(**fields: object) -> Persona:
    made: Persona = PersonaFactory.create(**{"slug": "lucia", "language": "en", "published": True} | fields)
    return made


@pytest.mark.parametrize(
    ("of_persona", "of_account", "words"),
    [
        (None, None, "kept until you erase it"),
        (1, None, "kept for 1 day,"),
        (None, 30, "kept for 30 days"),
        (90, 30, "kept for 30 days"),
        (0, 30, "kept for 0 days"),
    ],
)
def test_the_start_page_says_who_reads_transcripts_and_how_long_they_are_kept(
    visitor: Client, of_persona: int | None, of_account: int | None, words: str
) -> None:
    persona(speech_days=of_persona, avatar__account__speech_days=of_account)
    content = page(visitor, "/personas/lucia/")
    assert READERS in content
    assert words in content


@pytest.mark.parametrize(
    ("rooms", "shown", "hidden"),
    [(ProviderAccount.Rooms.OWN, WATCHED, UNWATCHED), (ProviderAccount.Rooms.PROVIDER, UNWATCHED, WATCHED)],
)
def test_the_start_page_says_whether_staff_can_watch(visitor: Client, rooms: str, shown: str, hidden: str) -> None:
    persona(avatar__account__rooms=rooms)
    content = page(visitor, "/personas/lucia/")
    assert shown in content
    assert hidden not in content


def test_the_organisations_privacy_notice_is_linked_where_one_is_set(visitor: Client) -> None:
    persona()
    persona(slug="lucia-es", language="es")
    assert "Privacy notice" not in page(visitor, "/personas/lucia/")
    with override_settings(PRIVACY_NOTICE_URL="https://example.org/privacy"):
        assert 'href="https://example.org/privacy"' in page(visitor, "/personas/lucia/")
        assert "Aviso de privacidad" in page(visitor, "/personas/lucia-es/")


@pytest.mark.parametrize(("language", "false", "true"), [
    ("en", "Nothing is recorded", "part of its record"),
    ("es", "No se graba nada", "parte de su registro"),
])  # fmt: skip
def test_the_device_check_does_not_claim_that_nothing_is_recorded(
    visitor: Client, language: str, false: str, true: str
) -> None:
    content = page(visitor, "/check/", language)
    assert false not in content
    assert true in content


WHO = {"username": "ines", "ip_address": "192.0.2.7", "user_agent": "A browser", "path_info": "/accounts/login/"}


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (AccessAttempt, WHO | {"failures_since_start": 3}),
        (AccessFailureLog, WHO),
        (AccessLog, WHO),
        (Session, {"session_key": "k" * 32, "session_data": ""}),
    ],
)
def test_sign_in_data_is_not_kept_forever(model: Any, fields: dict[str, Any]) -> None:
    now = timezone.now()
    if model is Session:
        model.objects.create(**fields, expire_date=now - timedelta(seconds=1))
        kept = model.objects.create(session_key="f" * 32, session_data="", expire_date=now + timedelta(days=1))
    else:
        old = model.objects.create(**fields)
        model.objects.filter(pk=old.pk).update(attempt_time=now - timedelta(days=91))
        kept = model.objects.create(**fields | {"ip_address": "192.0.2.8"})
    tasks.delete_old_sign_ins()
    assert list(model.objects.all()) == [kept]


def lose_everything(user: User) -> None:
    user.groups.clear()


def become_an_auditor(user: User) -> None:
    user.groups.set(Group.objects.filter(name="Auditors"))


def lose_the_persona(user: User) -> None:
    Persona.objects.update(status=Persona.Status.DRAFT)


@pytest.mark.parametrize("loss", [lose_everything, become_an_auditor, lose_the_persona])
def test_users_without_the_role_can_read_export_and_erase_their_conversations(client: Client, loss: Any) -> None:
    user = EndUserFactory.create()
    session: StreamingSession = ended_session(user, provider_session_id="p1")
    loss(user)
    client.force_login(user)
    assert SECRET in page(client, f"/conversations/{session.pk}/")
    assert SECRET in page(client, f"/conversations/{session.pk}/transcript.txt")
    assert client.post("/data/json").status_code == 200
    client.post("/conversations/erase/")
    assert texts(session) == [""]


@pytest.mark.parametrize("path", ["/conversations/{}/", "/conversations/{}/transcript.txt"])
def test_another_users_conversation_is_not_found(visitor: Client, path: str) -> None:
    session = ended_session(EndUserFactory.create(), provider_session_id="p1")
    assert visitor.get(path.format(session.pk)).status_code == 404


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n\r\n", "\x85", "\u2028", "\u2029", "\v", "\f", "\x1e"])
@pytest.mark.parametrize("who", ["user", "avatar"])
def test_a_line_break_in_speech_cannot_forge_a_line(client: Client, who: str, line_break: str) -> None:
    session: StreamingSession = StreamingSessionFactory.create(persona__name="Lucía")
    text = f"Yes.{line_break}[17:41:03] Lucía: I promise you a refund."
    session.utterances.create(who=who, by="voice", text=text, source="browser")
    client.force_login(user_of(session))
    _zone, _blank, line = page(client, f"/conversations/{session.pk}/transcript.txt").splitlines()
    assert line.endswith("Yes. [17:41:03] Lucía: I promise you a refund. [Reported by the browser only]")
    captions = b"".join(session_export.as_captions(session)).decode().splitlines()
    assert len(captions) == 5  # title, blank, number, times, text


PASSWORD = "wj3-longer-than-most"
FROM_ANA: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.77", "HTTP_USER_AGENT": "Ana's browser"}


def personal_data_of(user: User) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(b"".join(personal_data.as_json(User.objects.get(pk=user.pk))))
    return document


def person(name: str, email: str = "", days_here: int = 1) -> User:
    joined = timezone.now() - timedelta(days=days_here)
    return User.objects.create_user(name, email, PASSWORD, date_joined=joined)


def try_to_sign_in(name: str, password: str = PASSWORD) -> None:
    cache.clear()  # budgets are not under test
    Client().post("/accounts/login/", {"login": name, "password": password}, **FROM_ANA)


@pytest.mark.parametrize("attempt", [PASSWORD, "wrong"], ids=["signed in", "failed"])
@pytest.mark.parametrize("taken_as", ["the name", "the name in capitals", "the address"])
def test_a_reused_name_does_not_bring_its_earlier_sign_ins(taken_as: str, attempt: str) -> None:
    ana = person("ana@x.org", "ana@x.org")
    try_to_sign_in("ana@x.org", attempt)
    User.objects.filter(pk=ana.pk).update(username="ana.old", email="")
    other = {
        "the name": ("ana@x.org", ""),
        "the name in capitals": ("ANA@x.org", ""),
        "the address": ("b", "ana@x.org"),
    }
    newcomer = person(*other[taken_as])
    assert personal_data_of(newcomer)["sign_ins"] == []
    assert [row["ip_address"] for row in personal_data_of(ana)["sign_ins"]] == ["192.0.2.77"]


def test_failed_sign_ins_that_concern_two_people_are_shown_to_neither() -> None:
    ana = person("ana")
    try_to_sign_in("ana", "wrong")
    User.objects.filter(pk=ana.pk).update(username="ana.old")
    newcomer = person("ana")
    for _ in range(2):
        try_to_sign_in("ana", "wrong")
        assert [personal_data_of(user)["sign_ins"] for user in (ana, newcomer)] == [[], []]


def test_old_sign_ins_belong_to_the_user_who_always_had_the_name(admin_user: User) -> None:
    """Store a log row from before rows were linked to users."""
    ana, renamed, newcomer, twin = person("ana"), person("bea"), person("carla", days_here=0), person("Dora")
    person("dora")
    log_change(admin_user, renamed, "Username")
    log_change(admin_user, ana, "First name")
    earlier = timezone.now() - timedelta(hours=1)
    for name in ("Ana", "bea", "carla", "dora", "nobody"):
        AccessLog.objects.create(username=name, ip_address="192.0.2.7", user_agent="x", path_info="/")
    AccessAttempt.objects.create(username="ana", ip_address="192.0.2.8", failures_since_start=2)
    for log in (AccessLog, AccessAttempt):
        log.objects.update(attempt_time=earlier)
    import_module("heygen_portal.migrations.0013_whose_sign_ins").keep_whose(apps, None)
    assert [row["ip_address"] for row in personal_data_of(ana)["sign_ins"]] == ["192.0.2.8", "192.0.2.7"]
    for user in (renamed, newcomer, twin):
        assert personal_data_of(user)["sign_ins"] == []


def log_change(by: User, user: User, field: str) -> None:
    LogEntry.objects.create(
        user=by,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(user.pk),
        object_repr=str(user),
        action_flag=CHANGE,
        change_message=json.dumps([{"changed": {"fields": [field]}}]),
    )


KIND = AuditEntry.Kind


@pytest.mark.parametrize(
    "kind", [KIND.ACCOUNT_CHANGED, KIND.KEY_SET, KIND.PUBLISHED, KIND.PERSONA_CHANGED, KIND.UNPUBLISHED, KIND.EXPORTED]
)
def test_audit_entries_about_an_object_with_the_same_name_are_not_about_the_user(kind: AuditEntry.Kind) -> None:
    ines = person("ines")
    audit_log.record_by(None, "203.0.113.9", kind, "ines", base_url=["https://a.test", "https://b.test"])
    assert personal_data_of(ines)["audit_entries"] == []


def test_a_quota_of_a_role_is_not_about_a_user_with_the_same_name() -> None:
    ines = person("Auditors")
    audit_log.record_by(None, None, KIND.QUOTA_CHANGED, "Auditors", minutes_per_month=[None, 5])
    quota = Quota.objects.create(group=Group.objects.get(name="Auditors"))
    audit_log.record_by(None, None, KIND.QUOTA_CHANGED, quota, minutes_per_month=[None, 5])
    assert personal_data_of(ines)["audit_entries"] == []


@pytest.mark.parametrize("has_id", [True, False], ids=["with their ID", "from before entries had IDs"])
@pytest.mark.parametrize("kind", [KIND.ACCESS_CHANGED, KIND.PASSWORD_SET, KIND.SECOND_FACTOR_OFF, KIND.JOINED])
def test_audit_entries_do_not_pass_to_the_next_user_with_the_name(
    admin_client: Client, kind: AuditEntry.Kind, has_id: bool
) -> None:
    ana = person("ana")
    audit_log.record_by(None, None, kind, ana if has_id else "ana", note="about the first")
    rename = {"username": "ana.old", "is_active": "on"}
    assert admin_client.post(f"/admin/auth/user/{ana.pk}/change/", rename).status_code == 302
    newcomer = person("ana", days_here=0)
    about = [entry["data"].get("note") for entry in personal_data_of(ana)["audit_entries"]]
    assert about == ["about the first", None]  # and that they were renamed
    assert personal_data_of(newcomer)["audit_entries"] == []


def test_invitations_are_shown_to_their_user_and_not_to_the_next_with_the_address() -> None:
    boss = UserFactory.create(username="boss")
    ana = person("ana@x.org", "ana@x.org")
    role, now = Group.objects.get(name="End users"), timezone.now()
    one = Invitation.objects.create(
        email="ana@x.org", group=role, invited_by=boss, expires_at=now, used_at=now, used_by=ana
    )
    audit_log.record_by(boss.pk, None, KIND.INVITED, one)
    audit_log.record_by(boss.pk, None, KIND.INVITED, "ana@x.org")  # as an earlier version wrote it
    User.objects.filter(pk=ana.pk).update(username="ana.old", email="old@x.org")
    newcomer = person("ana@x.org", "ana@x.org")
    assert [len(personal_data_of(ana)[name]) for name in ("invitations", "audit_entries")] == [1, 2]
    assert [len(personal_data_of(newcomer)[name]) for name in ("invitations", "audit_entries")] == [0, 0]


def another_portals_key(session: StreamingSession) -> None:
    SpeechKey.objects.filter(session=session).update(wrapped=os.urandom(68))


def a_damaged_key(session: StreamingSession) -> None:
    SpeechKey.objects.filter(session=session).update(wrapped=b"short")


def a_damaged_text(session: StreamingSession) -> None:
    session.utterances.update(sealed=b"x")


@pytest.mark.parametrize("spoil", [another_portals_key, a_damaged_key, a_damaged_text])
def test_an_undecryptable_text_is_marked_and_the_rest_is_exported(
    spoil: Callable[[StreamingSession], None],
) -> None:
    ines = person("ines")
    first, spoilt, last = (ended_session(ines, provider_session_id=f"p{number}") for number in range(3))
    with db_triggers.disabled(connection):
        spoil(spoilt)
    found = personal_data_of(ines)
    lines = {row["id"]: row["lines"] for row in found["sessions"]}
    assert [lines[str(session.pk)][0]["text"] for session in (first, last)] == [SECRET, SECRET]
    assert (lines[str(spoilt.pk)][0]["text"], lines[str(spoilt.pk)][0]["could_not_be_opened"]) == (None, True)
    assert list(found)[-1] == "admin_log"
    with translation.override("en"):
        whole = b"".join(personal_data_page.as_page(ines)).decode()
    assert whole.count(SECRET) == 2
    assert "could not be decrypted" in whole
    assert whole.endswith("</html>\n")


def test_an_unreadable_row_ends_only_its_own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    ines = person("ines")
    ended_session(ines)

    def unreadable(*_: object) -> Any:
        raise DataError("timestamp too large")

    monkeypatch.setattr(personal_data, "_event", unreadable)
    (session,) = personal_data_of(ines)["sessions"]
    assert session["events"] == [{"rest_could_not_be_read": True}]
    assert session["lines"][0]["text"] == SECRET


def test_the_download_has_costs_provider_erasures_and_changes_by_staff(
    admin_user: User,
) -> None:
    ines = person("ines")
    session = ended_session(ines, provider_session_id="p1")
    SessionTotal.objects.get_or_create(
        session=session,
        defaults={
            "account": session.account,
            "persona": session.persona,
            "day": timezone.localdate(),
            "time": timedelta(minutes=1),
            "estimated": "0.5",
        },
    )
    receipt = Erasure.objects.create(session=session, by=ines, cause="asked", lines=1, hash="0", at_provider="asked")
    ProviderErasure.objects.create(erasure=receipt, failure="no answer")
    log_change(admin_user, ines, "First name")
    found = personal_data_of(ines)
    (told_session,) = found["sessions"]
    assert told_session["costs"][0]["estimated"]
    assert told_session["erasures_at_provider"][0]["failure"] == "no answer"
    (change,) = found["admin_log_about_you"]
    assert (change["user"], "First name" in change["change_message"]) == ("staff", True)


@pytest.mark.parametrize("spoil", [another_portals_key, a_damaged_key, a_damaged_text])
def test_pages_and_exports_mark_undecryptable_texts(client: Client, spoil: Callable[[StreamingSession], None]) -> None:
    session = ended_session(person("ines"), provider_session_id="p1")
    session.utterances.create(who="user", by="text", text="Hola", source="portal")
    with db_triggers.disabled(connection):
        spoil(session)
    client.force_login(user_of(session))
    words = "[This text could not be decrypted.]"
    for path in ("/conversations/", f"/conversations/{session.pk}/", f"/conversations/{session.pk}/transcript.txt"):
        assert words in page(client, path), path
    assert words in b"".join(session_export.as_captions(session)).decode()
    export = Export.objects.create(
        session=session, asked_by=user_of(session), what="record", format="json", reason="asked"
    )
    record = json.loads(b"".join(session_export.as_json(export, session)))
    assert record["lines"][0]["text"] == words
    line, _other = inspection.lines_of(session, is_open=True)
    assert words in str(line)
