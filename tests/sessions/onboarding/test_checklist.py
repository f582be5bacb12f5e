"""The setup checklist follows stored events; the connection check names causes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from django.core.cache import cache
from django.test import Client, override_settings
from django.utils import timezone, translation
from pytest_django import DjangoAssertNumQueries

from avatars.models import ProviderAccount
from avatars.personas import versions
from heygen_portal import providers
from heygen_portal.providers.contract.provider import CredentialRefused, NotSent, Provider, ProviderRejected
from heygen_portal.providers.heygen import wire
from heygen_portal.providers.http import parsing
from sessions.actions import provision
from sessions.labels import readable_data
from sessions.lifecycle import events, transitions
from sessions.lifecycle.events import Entry, Source
from sessions.models import EndReason, SessionTotal, Status, StreamingSession
from sessions.onboarding import checklist
from tests.support.factories import WHY, AvatarFactory, PersonaFactory, ProviderAccountFactory, StreamingSessionFactory

pytestmark = pytest.mark.django_db

# The eleven boxes of requirements 43 to 53, in their order, and then ours.
FOUNDING = [
    "key",
    "token",
    "made",
    "started",
    "joined",
    "frame",
    "stopped",
    "errors",
    "own_rooms",
    "variety",
    "measured",
]
OURS = ["catalogue", "persona", "answer", "livekit", "webhook"]
ABSENT: Any = None
PAGE = "/admin/avatars/provideraccount/setup-checklist/"
OWN = {"LIVEKIT_URL": "ws://127.0.0.1:1", "LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "secret"}


def done_codes(trouble: str | None = None) -> set[str]:
    return {item.code for item in checklist.items(trouble) if item.is_done}


@pytest.fixture
def live_session() -> StreamingSession:
    """A session of a published persona that is live, with an empty record."""
    persona = PersonaFactory.create(published=True, greeting="Hola")
    versions.save_version(persona)
    persona.refresh_from_db()
    session: StreamingSession = StreamingSessionFactory.create(persona=persona, version=persona.current)
    return session


def sent_for(session: StreamingSession) -> dict[str, Any]:
    """Return what HeyGen is sent for a session."""
    return parsing.as_sent(wire.new_session_body(provision.request_for(session)))


def at_second(seconds: int) -> datetime:
    return timezone.now().replace(microsecond=0) + timedelta(seconds=seconds)


def write(session: StreamingSession, seconds: int, *, task_id: str = "", **fields: Any) -> None:
    """Store a text of the user: a task, and a line at the same time."""
    values = {"kind": "talk", "status": "sent", "text": "¿Abrís hoy?", "sent_by": session.user} | fields
    task = session.tasks.create(created_at=at_second(seconds), provider_task_id=task_id, **values)
    line = {"who": "user", "by": "text", "kind": task.kind, "source": "portal", "at": task.created_at}
    session.utterances.create(text="¿Abrís hoy?", **line)


def speak(session: StreamingSession, seconds: int, task_id: str = "", who: str = "avatar") -> None:
    line = {"who": who, "by": "voice", "source": "browser", "at": at_second(seconds), "provider_task_id": task_id}
    session.utterances.create(text="Hola", **line)


def test_the_founding_eleven_come_first_and_then_ours() -> None:
    """Requirements 43 to 53.

    Three items are not needed without our own LiveKit server.
    """
    with override_settings(**dict.fromkeys(OWN, "")):
        items = checklist.items(None)
    assert [item.code for item in items] == [*FOUNDING, *OURS]
    not_needed = {item.code for item in items if item.is_done is None}
    assert not_needed == {"own_rooms", "livekit", "webhook"}
    assert not any(item.is_done for item in items)


def test_each_item_is_done_by_its_own_event() -> None:
    """Requirements 44, 45, 46, 47, 49 and 51.

    A session's record completes one item after the other.
    """
    cache.delete(checklist.WEBHOOK_SEEN)  # other tests have seen some
    account = ProviderAccountFactory.create(synced_at=timezone.now())
    avatar = AvatarFactory.create(account=account)
    assert done_codes() == {"key", "catalogue"}
    persona = PersonaFactory.create(published=True, avatar=avatar)
    versions.save_version(persona)
    persona.refresh_from_db()
    session = StreamingSessionFactory.create(persona=persona, live_at=None, status=Status.CONNECTING)
    steps = [
        ("provider_authenticated", "token"),
        ("provider_created", "made"),
        ("provider_started", "started"),
        ("room_connected", "joined"),
    ]
    known = {"key", "catalogue", "persona"}
    assert done_codes() == known
    for kind, item in steps:
        events.append(session.pk, Entry(kind, {"sent": sent_for(session)} if item == "made" else {}))
        assert done_codes() == (known := known | {item})
    with override_settings(**OWN):
        assert done_codes("") == (known := known | {"livekit"})
        assert done_codes("no answer") == known - {"livekit"}
        StreamingSession.objects.filter(pk=session.pk).update(room="room-1")
        assert done_codes("") == (known := known | {"own_rooms"})
        events.append(session.pk, Entry("participant_joined", {}, Source.LIVEKIT))
        assert done_codes("") == known | {"webhook"}


def test_an_own_room_counts_once_user_and_avatar_were_sent_into_it(live_session: StreamingSession) -> None:
    """Requirements 46 and 51."""
    StreamingSession.objects.filter(pk=live_session.pk).update(room="room-1")
    with override_settings(**OWN):
        assert "own_rooms" not in done_codes("")  # nobody joined it
        StreamingSession.objects.filter(pk=live_session.pk).update(provider_session_id=None)
        events.append(live_session.pk, Entry("room_connected", {}, Source.BROWSER))
        assert "own_rooms" not in done_codes("")  # the provider created no session
        StreamingSession.objects.filter(pk=live_session.pk).update(provider_session_id="theirs")
        assert "own_rooms" in done_codes("")
        StreamingSession.objects.filter(pk=live_session.pk).update(room="")
        assert "own_rooms" not in done_codes("")


def test_a_stop_counts_once_the_provider_has_confirmed_it(live_session: StreamingSession) -> None:
    """Requirement 49."""
    assert live_session.live_at
    assert "stopped" not in done_codes()
    transitions.begin_stop(live_session, EndReason.USER_STOPPED, WHY)
    assert "stopped" not in done_codes()
    transitions.end(live_session)
    assert "stopped" in done_codes()


def test_the_video_counts_as_shown_only_with_a_first_frame(live_session: StreamingSession) -> None:
    """Requirement 48: a session with sound or text only is live without one."""
    write(live_session, 1)
    assert live_session.live_at
    assert "frame" not in done_codes()
    events.append(live_session.pk, Entry("first_frame", {}, Source.BROWSER))
    assert "frame" in done_codes()


def test_a_first_frame_without_a_text_is_not_enough(live_session: StreamingSession) -> None:
    """Requirement 48: a text is sent once connected, in the same session."""
    events.append(live_session.pk, Entry("first_frame", {}, Source.BROWSER))
    write(live_session, 1, status="failed", failure="provider_refused")
    write(StreamingSessionFactory.create(persona=live_session.persona, version=live_session.version), 2)
    assert "frame" not in done_codes()


@pytest.mark.parametrize(
    ("happens", "is_answered"),
    [
        ([("greets", 0)], False),
        ([("greets", 0), ("writes", 1)], False),
        ([("writes", 1), ("greets", 2)], False),
        ([("greets", 0), ("fails", 1), ("speaks", 2)], False),
        ([("greets", 0), ("reads", 1), ("speaks_read", 2)], False),
        ([("greets", 0), ("writes", 1), ("speaks", 2)], True),
        ([("greets", 0), ("speaks", 1), ("writes", 2)], False),
        ([("greets_unnamed", 0), ("writes", 1), ("speaks", 2)], True),
        ([("writes", 0), ("greets_unnamed", 1)], False),
        ([("greets", 0), ("writes", 1), ("answers", 2)], True),
        ([("greets", 0), ("says", 1), ("speaks", 2)], True),
        ([("greets", 0), ("says", 1)], False),
    ],
)
def test_only_an_answer_counts_as_one(
    live_session: StreamingSession, happens: list[tuple[str, int]], *, is_answered: bool
) -> None:
    """A greeting, a text read aloud or not sent, or a lone line does not."""
    if ("greets", 0) in happens or ("greets", 2) in happens:
        live_session.tasks.create(kind="repeat", status="sent", text="Hola", provider_task_id="greeting")
    for what, second in happens:
        match what:
            case "greets":
                speak(live_session, second, "greeting")
            case "writes":
                write(live_session, second, task_id="asked")
            case "fails":
                write(live_session, second, status="failed", failure="provider_refused")
            case "reads":
                write(live_session, second, task_id="read", kind="repeat")
            case "speaks_read":
                speak(live_session, second, "read")
            case "answers":
                speak(live_session, second, "asked")
            case "says":
                speak(live_session, second, who="user")
            case _:
                speak(live_session, second)
    assert ("answer" in done_codes()) == is_answered


def test_trouble_counts_as_handled_once_each_such_session_has_ended(live_session: StreamingSession) -> None:
    """Requirement 50: tracks are recorded, and each failure ends in a named state."""
    events.append(live_session.pk, Entry("track_subscribed", {"kind": "video"}, Source.BROWSER))
    assert "errors" not in done_codes()
    events.append(live_session.pk, Entry("room_reconnecting", {}, Source.BROWSER))
    assert "errors" not in done_codes()
    StreamingSession.objects.filter(pk=live_session.pk).update(
        status="ended", end_reason="user_stopped", ended_at=timezone.now(), deadline_at=None
    )
    assert "errors" in done_codes()


def test_what_has_not_been_tried_or_measured_is_named(live_session: StreamingSession, admin_client: Client) -> None:
    """Requirements 52 and 53."""

    def missing(code: str) -> tuple[str, ...]:
        with translation.override("en"):
            return next(item.missing for item in checklist.items(None) if item.code == code)

    assert missing("variety") == (
        "medium quality", "low quality", "a second voice or voice setting", "a second language",
    )  # fmt: skip
    for quality, language, rate in (("medium", "en", 1), ("low", "en", 1.1)):
        persona = PersonaFactory.create(
            published=True, quality=quality, language=language, voice_rate=rate, avatar=live_session.persona.avatar
        )
        versions.save_version(persona)
        persona.refresh_from_db()
        StreamingSessionFactory.create(persona=persona, version=persona.current)
    assert missing("variety") == ()
    total = {"account": live_session.account, "persona": live_session.persona, "day": timezone.localdate()}
    measured = SessionTotal.objects.create(session=live_session, time=timedelta(0), estimated=0, **total)
    assert missing("measured") == ("time to the first frame", "response time", "frame rate", "rating")
    events.append(live_session.pk, Entry("first_frame", {}, Source.BROWSER))
    assert missing("measured") == ("response time", "frame rate", "rating")
    events.append(live_session.pk, Entry("picture", {}, Source.BROWSER))
    assert missing("measured") == ("response time", "rating")
    events.append(live_session.pk, Entry("rated", {}, Source.BROWSER))
    assert missing("measured") == ("response time",)
    page = admin_client.get(PAGE, headers={"accept-language": "en"}).content.decode()
    assert "response time" in page
    measured.answers_ms = [700]
    measured.save()
    assert {"variety", "measured"} <= done_codes()


@pytest.mark.parametrize(
    "changes",
    [
        {"avatar_id": "somebody-else"},
        {"avatar_id": ABSENT},
        {"voice.voice_id": ABSENT},
        {"voice.voice_id": "another"},
        {"voice.rate": 1.5},
        {"quality": "low"},
        {"quality": ABSENT},
        {"language": "en"},
    ],
    ids=str,
)
def test_a_session_counts_only_if_the_provider_was_sent_what_staff_chose(
    live_session: StreamingSession, admin_client: Client, changes: dict[str, Any]
) -> None:
    """Requirement 45.

    The fields of the request are compared with the persona's version, and both are shown.
    """
    assert "made" not in done_codes()
    sent = {name: value for name, value in (sent_for(live_session) | changes).items() if value is not ABSENT}
    events.append(live_session.pk, Entry("provider_created", {"sent": sent}))
    assert "made" not in done_codes()
    page = admin_client.get(PAGE, headers={"accept-language": "en"}).content.decode()
    [(field, value)] = changes.items()
    row = next(row for row in page.split("<tr") if f">{field}</code>" in row)
    assert "differs" in row
    assert value is ABSENT or readable_data.value_of(value) in row
    other = StreamingSessionFactory.create(persona=live_session.persona, version=live_session.version)
    events.append(other.pk, Entry("provider_created", {"sent": sent_for(other)}))
    assert "made" in done_codes()
    assert ">differs<" not in admin_client.get(PAGE, headers={"accept-language": "en"}).content.decode()


@pytest.mark.parametrize("name", ["avatar_id", "voice_id"])
def test_a_session_that_was_stored_with_other_settings_does_not_count(
    live_session: StreamingSession, name: str
) -> None:
    """Requirement 45.

    The request is compared with the persona's version, not with the session's own row.
    """
    live_session.persona_settings[name] = "somebody-else"
    live_session.save()
    events.append(live_session.pk, Entry("provider_created", {"sent": sent_for(live_session)}))
    assert "made" not in done_codes()


def test_an_open_item_says_what_to_do_and_links_to_it(admin_client: Client) -> None:
    """Complaint 25: each step can be completed without prior knowledge."""
    page = admin_client.get(PAGE, headers={"accept-language": "en"}).content.decode()
    assert 'href="/admin/avatars/provideraccount/add/"' in page
    assert "Create an account and enter its key" in page
    account = ProviderAccountFactory.create()
    page = admin_client.get(PAGE).content.decode()
    assert f'href="/admin/avatars/provideraccount/{account.pk}/change/"' in page


def test_the_checklist_needs_a_fixed_number_of_queries(
    admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    persona = PersonaFactory.create(published=True)
    for _ in range(checklist.RECENT_SESSIONS + 5):
        StreamingSessionFactory.create(persona=persona, status=Status.ENDED, provider_session_id=None)
    with django_assert_max_num_queries(30):
        assert admin_client.get(PAGE).status_code == 200


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """A provider for which all calls but two succeed."""
    stand_in = Mock(spec=Provider)
    stand_in.credits = AsyncMock(return_value=None)
    stand_in.list_avatars = AsyncMock(return_value=[1, 2])
    stand_in.list_voices = AsyncMock(side_effect=ProviderRejected("/v2/voices: no", code="10", status=403))
    stand_in.list_knowledge_bases = AsyncMock(side_effect=NotSent("/v1/bases: ConnectTimeout"))
    stand_in.list_sessions = AsyncMock(return_value=[])

    class Opened:
        async def __aenter__(self) -> Mock:
            return stand_in

        async def __aexit__(self, *exc: object) -> None:
            pass

    monkeypatch.setattr(providers, "opened", lambda account: Opened())
    return stand_in


def test_the_connection_check_names_failing_calls_and_causes(admin_client: Client, provider: Mock) -> None:
    """Requirement 43; complaint 16: no bare 400."""
    account: ProviderAccount = ProviderAccountFactory.create()
    address = f"/admin/avatars/provideraccount/{account.pk}/connection/"
    page = admin_client.get(address, headers={"accept-language": "en"}).content.decode()
    assert "2 calls fail" in page
    assert "/v2/voices: no" in page
    assert "Check that your plan includes it." in page
    assert "ConnectTimeout" in page
    provider.credits.side_effect = CredentialRefused("/v1/credits: 401", code="400112", status=401)
    page = admin_client.get(address, headers={"accept-language": "en"}).content.decode()
    assert "does not accept this key" in page
    assert account.api_key not in page


def test_saving_an_accepted_key_completes_the_first_item(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirement 43."""
    from tests.avatars.accounts.test_admin import form

    monkeypatch.setattr("avatars.accounts.forms.check_key", AsyncMock())
    admin_client.post("/admin/avatars/provideraccount/add/", form(api_key="sk-ours"))
    assert done_codes() == {"key"}
