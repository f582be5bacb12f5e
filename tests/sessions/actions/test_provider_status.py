"""What the portal does for a page that has lost its video."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from heygen_portal.providers.contract.provider import OpenSession, ProviderUnreachable
from sessions.actions import provider_status
from sessions.lifecycle import no_picture_texts
from sessions.models import SessionEvent, Status, StreamingSession
from tests.sessions.tabs import a_person, a_persona, browser
from tests.support.factories import StreamingSessionFactory

DIAGNOSIS_SCRIPT = Path(__file__).parents[3] / "sessions" / "static" / "sessions" / "recovery" / "diagnosis.js"
pytestmark = [pytest.mark.django_db(transaction=True)]


async def kinds(session_id: str) -> list[str]:
    return [event.kind async for event in SessionEvent.objects.filter(session__id=session_id)]


async def test_a_verdict_queries_the_provider_and_records_its_answer(provider: Mock) -> None:
    """Requirement 71: is it live at the provider?"""
    provider.list_sessions.return_value = [OpenSession("their-session", "connected", None)]
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        session_id = await tab.go_live()
        await tab.say("event.report", kind="verdict", data={"code": "frozen", "stage": "rejoin", "room": "a-room"})
        answer = await tab.hear("provider.status")
        assert (answer["status"], answer["is_other_room"]) == ("connected", False)
        # Queried once for both reports, because the list is long.
        await tab.say("event.report", kind="verdict", data={"code": "network", "stage": "rejoin"})
        await tab.say("event.report", kind="avatar_end_message", data={"message": "Hola."})
        await tab.hear("utterance")  # so that the report before it was processed, too
        assert provider.list_sessions.call_count == 1
        record = await kinds(session_id)
        assert (record.count("verdict"), record.count("provider_asked")) == (2, 1)


@pytest.mark.parametrize("is_silent", [True, False])
async def test_an_unlisted_session_is_missing_and_with_a_silent_provider_unknown(
    provider: Mock, is_silent: bool
) -> None:
    """Requirement 57: a page in a room of another session is informed."""
    if is_silent:
        provider.list_sessions.side_effect = ProviderUnreachable("streaming.list: ReadTimeout")
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        await tab.go_live()
        room = "6f9619ff-8b86-11d0-b42d-00c04fc964ff"
        await tab.say("event.report", kind="verdict", data={"code": "early", "stage": "rejoin", "room": room})
        answer = await tab.hear("provider.status")
        assert (answer["status"], answer["is_other_room"]) == ("unknown" if is_silent else "missing", True)


@pytest.mark.usefixtures("provider")
async def test_a_session_continued_without_video_is_live_and_recorded_as_such() -> None:
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        await tab.say("session.start")
        await tab.hear("session.room")
        await tab.say("event.report", kind="ladder", data={"step": "rejoin", "from": "picture", "because": "no_track"})
        await tab.say("event.report", kind="ladder", data={"step": "text", "from": "renew", "because": "no_track"})
        live = await tab.hear("session.status", status="live")
        await tab.say("task.send", ref="1", kind="talk", text="¿Sigues ahí?")
        assert (await tab.hear("task.sent"))["status"] == "sent"
        record = await kinds(live["session_id"])
        assert [kind for kind in record if kind in ("ladder", "without_picture")] == [
            "ladder",
            "ladder",
            "without_picture",
        ]


@pytest.mark.usefixtures("provider")
async def test_after_the_last_recovery_step_the_session_ends_without_video() -> None:
    """Requirement 66: bounded tries, then a clear end."""
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        await tab.say("session.start")
        session_id = (await tab.hear("session.status", status="connecting"))["session_id"]
        long_ago = timezone.now() - timedelta(seconds=9)
        await StreamingSession.objects.filter(pk=session_id).aupdate(opened_at=long_ago)
        await tab.say("event.report", kind="verdict", data={"code": "network", "stage": "out", "is_final": True})
        ended = await tab.hear("session.status", status="ended")
        assert (ended["reason"], ended["words"]) == ("no_picture", "The video did not arrive")
    row = await StreamingSession.objects.aget(pk=session_id)
    assert row.end_evidence == {"code": "no_picture_room", "limit_s": 8, "verdict": "network"}


async def test_a_room_that_closes_after_the_end_or_before_creation_asks_nobody(provider: Mock) -> None:
    for fields in ({"status": Status.ENDED}, {"status": Status.CREATING, "provider_session_id": None}):
        session = await sync_to_async(StreamingSessionFactory.create)(**fields)
        await provider_status.end_if_gone(session.pk)
        await session.arefresh_from_db()
        assert session.status == fields["status"]
    assert not provider.list_sessions.called


def test_every_verdict_has_a_described_cause_and_remedy() -> None:
    source = DIAGNOSIS_SCRIPT.read_text()
    typed = re.search(r"@typedef \{((?:\"\w+\"|[\s|*])+)\} Verdict", source)
    assert typed
    codes = set(re.findall(r"\"(\w+)\"", typed[1]))
    assert codes == set(no_picture_texts.causes("Lucía")) == set(no_picture_texts.remedies())
