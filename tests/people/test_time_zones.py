"""Times are in the reader's zone; quotas are counted in the portal's."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.http import HttpRequest
from django.test import Client, override_settings
from django.utils import timezone

from heygen_portal.models import PreferredTimeZone
from heygen_portal.people.mail import security_mail
from heygen_portal.people.preferences import time_zones
from sessions.capacity import quotas
from sessions.costs.report import Month
from sessions.exports import list_export, session_export
from sessions.models import Quota, StreamingSession
from tests.support.factories import EndUserFactory, StreamingSessionFactory, user_of

pytestmark = pytest.mark.django_db(transaction=True)

ENGLISH = {"accept-language": "en"}
# 23:30 in UTC is 00:30 of the next day in Madrid and 17:30 in Bogotá, plus 5 hours 45 minutes in Kathmandu.
AT = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)


@pytest.fixture
def session(client: Client) -> StreamingSession:
    user = EndUserFactory.create()
    client.force_login(user)
    row: StreamingSession = StreamingSessionFactory.create(
        user=user, created_at=AT, status="ended", ended_at=AT + timedelta(minutes=5)
    )
    row.utterances.create(who="user", by="text", source="portal", text="Hola", at=AT)
    return row


def page(client: Client, address: str, zone: str = "") -> str:
    if zone:
        client.cookies[time_zones.COOKIE] = zone
    response = client.get(address, headers=ENGLISH)
    return b"".join(response).decode()


@pytest.mark.parametrize(
    ("zone", "moment"),
    [
        ("Europe/Madrid", "2026-02-01T00:30:00+01:00"),
        ("America/Bogota", "2026-01-31T18:30:00-05:00"),
        ("Asia/Kathmandu", "2026-02-01T05:15:00+05:45"),
    ],
)
def test_pages_and_transcripts_show_the_readers_time_and_name_its_zone(
    client: Client, session: StreamingSession, zone: str, moment: str
) -> None:
    for address in ("/conversations/", f"/conversations/{session.pk}/"):
        shown = page(client, address, zone)
        assert (f'datetime="{moment}"' in shown, f"Times are in {zone}." in shown) == (True, True), address
    transcript = page(client, f"/conversations/{session.pk}/transcript.txt", zone)
    assert transcript.startswith(f"Times are in {zone}.\n\n[{moment[11:19]}] You: Hola")


@pytest.mark.parametrize("claimed", ["", "Mars/Olympus", "../../etc/passwd", "x" * 5000, "Europe/Madrid\0", "UTC+1;"])
def test_a_zone_that_does_not_exist_is_ignored(client: Client, session: StreamingSession, claimed: str) -> None:
    assert "Times are in UTC." in page(client, "/conversations/", claimed)
    assert not PreferredTimeZone.objects.exists()


def test_the_last_zone_is_kept_for_exports_and_mail(client: Client, session: StreamingSession) -> None:
    page(client, "/conversations/", "Europe/Madrid")
    page(client, "/conversations/", "America/Bogota")
    assert PreferredTimeZone.objects.get().name == "America/Bogota"
    assert time_zones.of(user_of(session).pk) == ZoneInfo("America/Bogota")
    client.cookies.clear()
    client.force_login(user_of(session))
    assert "Times are in UTC." in page(client, "/conversations/")


def test_mail_states_the_recipients_time(session: StreamingSession) -> None:
    user: User = user_of(session)
    user.email = "user@portal.test"
    PreferredTimeZone.objects.create(user=user, name="Asia/Kathmandu")
    request = HttpRequest()
    request.user, request.META = user, {"SERVER_NAME": "testserver", "SERVER_PORT": "80"}
    with override_settings(EMAIL_HOST="mail.test"), timezone.override("America/Bogota"):
        security_mail.send(request, user, "password")
    assert "(Asia/Kathmandu)" in str(mail.outbox[-1].body)


def test_tables_for_people_have_the_readers_offset_and_json_has_utc(session: StreamingSession) -> None:
    PreferredTimeZone.objects.create(user=user_of(session), name="Europe/Madrid")

    def exported(format: str) -> str:
        export = list_export.request_export(user_of(session).pk, None, "sessions", format)
        return b"".join(list_export.stream(export)).decode()

    assert "2026-02-01T00:30:00+01:00" in exported("csv")
    assert "2026-01-31T23:30:00+00:00" in exported("jsonl")


def test_captions_name_the_readers_zone_and_a_sessions_record_names_utc(session: StreamingSession) -> None:
    with timezone.override("America/Bogota"):
        pieces = session_export.as_captions(session)
    assert b"".join(pieces).startswith(
        f"WEBVTT - {session.persona.name}, 2026-01-31T18:30:00-05:00 (America/Bo".encode()
    )
    export = list_export.request_export(user_of(session).pk, None, "sessions", "jsonl")
    record = json.loads(b"".join(session_export.as_json(export, session)))
    assert record["export"]["time_zone"] == "UTC"


@override_settings(TIME_ZONE="Europe/Madrid")
def test_days_and_months_are_the_portals_for_every_reader() -> None:
    with timezone.override("America/Bogota"):
        assert quotas.month_of(AT).isoformat() == "2026-02-01T00:00:00+01:00"
        assert quotas.day_of(AT).isoformat() == "2026-02-01T00:00:00+01:00"
        assert Month.parse("", AT).name == "2026-02"


ADMIN = "/admin/avatar_sessions"


@pytest.mark.parametrize(
    "address",
    [
        f"{ADMIN}/quota/",
        f"{ADMIN}/quota/{{quota}}/change/",
        f"{ADMIN}/streamingsession/live/",
        f"{ADMIN}/sessiontotal/costs/",
        "/admin/avatars/provideraccount/{account}/change/",
        "/admin/auth/user/{user}/change/",
        "/admin/",
    ],
)
@override_settings(TIME_ZONE="Europe/Madrid")
def test_pages_that_count_months_name_the_portals_zone(
    admin_client: Client, session: StreamingSession, address: str
) -> None:
    quota = Quota.objects.create(user=session.user, minutes_per_month=30)
    rows = {"quota": quota.pk, "account": session.account_id, "user": session.user_id}
    shown = page(admin_client, address.format(**rows), "America/Bogota").replace("&#x27;", "'")
    assert "onths are counted in Europe/Madrid" in shown
    assert "America/Bogota" in shown or address.endswith("costs/")  # moments are in the reader's


def test_names_of_exported_files_have_the_offset_of_their_time(session: StreamingSession) -> None:
    export = list_export.request_export(user_of(session).pk, None, "sessions", "jsonl")
    export.asked_at = AT
    assert export.file_name == "sessions-2026-01-31T2330+0000.jsonl"


def test_the_administration_names_the_zone_of_its_lists(admin_client: Client) -> None:
    shown = page(admin_client, "/admin/avatar_sessions/streamingsession/", "America/Argentina/Buenos_Aires")
    assert "Times in America/Argentina/Buenos Aires" in shown
