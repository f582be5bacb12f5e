"""What people are told, what is kept about them, and how they get at it."""

from __future__ import annotations

import html
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.test import Client, override_settings
from django.utils import timezone

from avatars.models import Persona, ProviderAccount
from heygen_portal import tasks
from sessions import dossier
from sessions.models import StreamingSession
from tests.factories import EndUserFactory, PersonaFactory, StreamingSessionFactory
from tests.sessions.test_erasure import SECRET, talked, texts

pytestmark = pytest.mark.django_db

READERS = "You, and authorized staff"
WATCHED, UNWATCHED = "Authorized staff can watch and listen", "Staff cannot watch or listen"


@pytest.fixture
def visitor(client: Client) -> Client:
    client.force_login(EndUserFactory.create())
    return client


def page(client: Client, path: str, language: str = "en") -> str:
    return html.unescape(client.get(path, headers={"accept-language": language}).content.decode())


def persona(**fields: object) -> Persona:
    made: Persona = PersonaFactory.create(slug="lucia", published=True, **fields)
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
def test_before_start_people_read_who_reads_and_for_how_long(
    visitor: Client, of_persona: int | None, of_account: int | None, words: str
) -> None:
    persona(speech_days=of_persona, avatar__account__speech_days=of_account)
    said = page(visitor, "/personas/lucia/")
    assert READERS in said
    assert words in said


@pytest.mark.parametrize(
    ("rooms", "told", "not_told"),
    [(ProviderAccount.Rooms.OWN, WATCHED, UNWATCHED), (ProviderAccount.Rooms.PROVIDER, UNWATCHED, WATCHED)],
)
def test_before_start_people_read_whether_staff_can_watch(
    visitor: Client, rooms: str, told: str, not_told: str
) -> None:
    persona(avatar__account__rooms=rooms)
    said = page(visitor, "/personas/lucia/")
    assert told in said
    assert not_told not in said


def test_the_organisations_privacy_notice_is_linked_where_one_is_set(visitor: Client) -> None:
    persona()
    assert "Privacy notice" not in page(visitor, "/personas/lucia/")
    with override_settings(PRIVACY_NOTICE_URL="https://example.org/privacy"):
        assert 'href="https://example.org/privacy"' in page(visitor, "/personas/lucia/")
        assert "Aviso de privacidad" in page(visitor, "/personas/lucia/", "es")


@pytest.mark.parametrize(("language", "false", "true"), [
    ("en", "Nothing is recorded", "part of its record"),
    ("es", "No se graba nada", "parte de su registro"),
])  # fmt: skip
def test_the_device_check_does_not_deny_that_its_result_is_recorded(
    visitor: Client, language: str, false: str, true: str
) -> None:
    said = page(visitor, "/check/", language)
    assert false not in said
    assert true in said


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
def test_nothing_about_a_sign_in_is_kept_for_good(model: Any, fields: dict[str, Any]) -> None:
    now = timezone.now()
    if model is Session:
        model.objects.create(**fields, expire_date=now - timedelta(seconds=1))
        kept = model.objects.create(session_key="f" * 32, session_data="", expire_date=now + timedelta(days=1))
    else:
        old = model.objects.create(**fields)
        model.objects.filter(pk=old.pk).update(attempt_time=now - timedelta(days=91))
        kept = model.objects.create(**fields | {"ip_address": "192.0.2.8"})
    tasks.forget_sign_ins()
    assert list(model.objects.all()) == [kept]


def lose_everything(user: User) -> None:
    user.groups.clear()


def become_an_auditor(user: User) -> None:
    user.groups.set(Group.objects.filter(name="Auditors"))


def lose_the_persona(user: User) -> None:
    Persona.objects.update(status=Persona.Status.DRAFT)


@pytest.mark.parametrize("loss", [lose_everything, become_an_auditor, lose_the_persona])
def test_who_can_no_longer_talk_reads_takes_along_and_erases_what_was_said(client: Client, loss: Any) -> None:
    user = EndUserFactory.create()
    session: StreamingSession = talked(user, provider_session_id="p1")
    loss(user)
    client.force_login(user)
    assert SECRET in page(client, f"/conversations/{session.pk}/")
    assert SECRET in page(client, f"/conversations/{session.pk}/transcript.txt")
    assert client.post("/data/json").status_code == 200
    client.post("/conversations/erase/")
    assert texts(session) == [""]


@pytest.mark.parametrize("path", ["/conversations/{}/", "/conversations/{}/transcript.txt"])
def test_somebody_elses_conversation_stays_not_found(visitor: Client, path: str) -> None:
    session = talked(EndUserFactory.create(), provider_session_id="p1")
    assert visitor.get(path.format(session.pk)).status_code == 404


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n\r\n", "\x85", "\u2028", "\u2029", "\v", "\f", "\x1e"])
@pytest.mark.parametrize("who", ["user", "avatar"])
def test_a_line_break_inside_a_line_forges_no_other_line(client: Client, who: str, line_break: str) -> None:
    session: StreamingSession = StreamingSessionFactory.create(persona__name="Lucía")
    text = f"Yes.{line_break}[17:41:03] Lucía: I promise you a refund."
    session.utterances.create(who=who, by="voice", text=text, source="browser")
    client.force_login(session.user)
    (line,) = page(client, f"/conversations/{session.pk}/transcript.txt").splitlines()
    assert line.endswith("Yes. [17:41:03] Lucía: I promise you a refund. [Reported by the browser only]")
    captions = dossier.as_captions(session).splitlines()
    assert len(captions) == 5  # title, blank, number, times, text
