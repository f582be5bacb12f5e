"""Reading a long conversation costs no more than reading a part of it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client, override_settings
from django.utils import translation

from sessions.actions import queries
from sessions.exports import list_export, session_export
from sessions.models import Export, StreamingSession, Utterance
from tests.sessions.tabs import Tab, a_person, a_persona, browser
from tests.support.factories import EndUserFactory, StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

LONGEST = "x" * 9_900
MAX_LINES_SENT, MAX_BYTES_SENT = 200, 256 * 1024


def with_lines(session: StreamingSession, texts: list[str]) -> StreamingSession:
    first = session.created_at
    for number, text in enumerate(texts):
        at = first + timedelta(seconds=number)
        Utterance.objects.create(session=session, who="avatar", by="voice", source="portal", at=at, text=text)
    return session


def requested_export(session: StreamingSession, form: str) -> Export:
    return list_export.request_export(
        EndUserFactory.create().pk, None, "record", form, reason="a complaint", session=session
    )


def running(user: User, persona: Any, texts: list[str]) -> StreamingSession:
    return with_lines(StreamingSessionFactory.create(user=user, persona=persona), texts)


async def url_of_all_lines(tab: Tab, session: StreamingSession) -> str:
    """Join the session; return the URL of the page with all lines, if any."""
    await tab.say("session.join", session_id=str(session.pk))
    await tab.hear("session.status")
    first = await tab.receive_json_from(timeout=10)
    return str(first["url"]) if first["type"] == "transcript.left_out" else ""


async def joined(tab: Tab, session: StreamingSession) -> list[str]:
    """Join the session; return the texts sent before the answer to the next message."""
    await tab.say("session.join", session_id=str(session.pk))
    await tab.hear("session.status")
    return await received_lines(tab)


async def received_lines(tab: Tab) -> list[str]:
    # A join waits for the previous one, and this one is refused.
    await tab.say("session.join", session_id="none")
    texts = []
    while (message := await tab.receive_json_from(timeout=WAIT_TIMEOUT_S))["type"] != "error":
        if message["type"] == "utterance":
            texts.append(message["text"])
    assert message["code"] == "not_found"
    return texts


LONG = {
    "few long lines": [f"{number}{LONGEST}" for number in range(40)],
    "many short lines": [str(number) for number in range(260)],
    "letters of four bytes": [f"{number}" + "\U0001f600" * 9_900 for number in range(12)],
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider_of_many")
class TestOnTheSocket:
    @pytest.mark.parametrize("texts", LONG.values(), ids=list(LONG))
    async def test_a_page_gets_only_the_newest_lines_and_each_once(self, texts: list[str]) -> None:
        user, persona = await a_person(), await a_persona()
        session = await sync_to_async(running)(user, persona, texts)
        async with browser(user, persona.slug) as tab:
            first = await joined(tab, session)
            assert first == texts[-len(first) :]
            assert 0 < len(first) <= MAX_LINES_SENT
            assert len("".join(first).encode()) <= MAX_BYTES_SENT
            for _ in range(3):
                assert await joined(tab, session) == []
            await sync_to_async(with_lines)(session, ["afterwards"])
            assert await joined(tab, session) == ["afterwards"]

    @pytest.mark.parametrize("texts", [*LONG.values(), ["one", "two"]], ids=[*LONG, "short"])
    async def test_a_page_is_informed_of_omitted_older_lines_and_their_page(self, texts: list[str]) -> None:
        user, persona = await a_person(), await a_persona()
        session = await sync_to_async(running)(user, persona, texts)
        async with browser(user, persona.slug) as tab:
            where = await url_of_all_lines(tab, session)
        assert where == ("" if texts == ["one", "two"] else f"/conversations/{session.pk}/")

    async def test_concurrent_joins_are_answered_with_one_copy(self) -> None:
        user, persona = await a_person(), await a_persona()
        session = await sync_to_async(running)(user, persona, ["one", "two"])
        async with browser(user, persona.slug) as tab:
            for _ in range(30):
                await tab.say("session.join", session_id=str(session.pk))
            assert await received_lines(tab) == ["one", "two"]

    async def test_another_tab_gets_the_same_lines(self) -> None:
        user, persona = await a_person(), await a_persona()
        session = await sync_to_async(running)(user, persona, ["one", "two"])
        for _ in range(2):
            async with browser(user, persona.slug) as tab:
                assert await joined(tab, session) == ["one", "two"]


@pytest.mark.django_db
class TestOnPages:
    @pytest.fixture
    def person(self, client: Client) -> User:
        person = EndUserFactory.create()
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        return person

    @pytest.mark.parametrize(("page", "first", "last"), [("", 0, 24), ("?page=2", 25, 49), ("?page=999", 100, 119)])
    def test_a_long_conversation_is_read_page_by_page(
        self, client: Client, person: User, page: str, first: int, last: int
    ) -> None:
        session = with_lines(
            StreamingSessionFactory.create(user=person, status="ended"), [f"line {n}." for n in range(120)]
        )
        shown = client.get(f"/conversations/{session.pk}/{page}").content.decode()
        lines = [number for number in range(120) if f"line {number}." in shown]
        assert (lines[0], lines[-1]) == (first, last)

    @pytest.mark.django_db(transaction=True)
    def test_a_download_has_every_line_once_in_bounded_chunks(self, client: Client, person: User) -> None:
        texts = [f"{number} said" for number in range(120)]
        session = with_lines(StreamingSessionFactory.create(user=person, status="ended"), texts)
        answer: Any = client.get(f"/conversations/{session.pk}/transcript.txt")
        assert answer.streaming

        async def received() -> bytes:
            return b"".join([piece async for piece in answer.streaming_content])

        _zone, _blank, *lines = async_to_sync(received)().decode().splitlines()
        assert [line.split(": ", 1)[1].split(" [")[0] for line in lines] == texts
        assert [len(part) for part in queries.transcript_batches(session.pk)] == [20] * 6

    @pytest.mark.parametrize(
        ("budget", "path"), [("conversation", ""), ("transcript", "transcript.txt"), ("conversation", "?page=2")]
    )
    @pytest.mark.parametrize("scope", ["person", "address"])
    def test_reading_and_downloading_are_within_budgets(
        self, client: Client, person: User, budget: str, path: str, scope: str
    ) -> None:
        session = with_lines(StreamingSessionFactory.create(user=person, status="ended"), ["hola"])
        with override_settings(BUDGETS={f"{budget}.{scope}": "2/minute"}):
            statuses = [client.get(f"/conversations/{session.pk}/{path}").status_code for _ in range(3)]
        assert statuses == [200, 200, 429]


@pytest.mark.django_db
class TestStaffExports:
    @pytest.fixture
    def session(self) -> StreamingSession:
        return with_lines(StreamingSessionFactory.create(status="ended"), [f"{number} said" for number in range(120)])

    def test_captions_and_json_are_produced_in_small_batches(self, session: StreamingSession) -> None:
        export = requested_export(session, "json")
        captions = [piece.decode() for piece in session_export.as_captions(session)]
        assert max(piece.count(" said") for piece in captions) <= 20
        assert [int(text) for text in re.findall(r">(\d+) said", "".join(captions))] == list(range(120))
        pieces = [piece.decode() for piece in session_export.as_json(export, session)]
        assert max(piece.count(" said") for piece in pieces) <= 20
        assert [line["text"] for line in json.loads("".join(pieces))["lines"]] == [f"{n} said" for n in range(120)]

    def test_the_printable_page_names_the_number_of_omitted_lines(
        self, session: StreamingSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        export = requested_export(session, "page")
        monkeypatch.setattr(session_export, "MAX_PRINTED_LINES", 50)
        with translation.override("en"):
            page = render_to_string("sessions/record.html", session_export.print_context(export, session))
        assert [int(text) for text in re.findall(r">(\d+) said", page)] == list(range(50))
        assert "70 more lines" in page
