"""When a client aborts an export, the record says how much was sent."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import Group
from django.core.asgi import get_asgi_application
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from heygen_portal.people.access import roles
from heygen_portal.trail.models import AuditEntry
from sessions.exports import list_export
from sessions.integrity import verification
from sessions.lifecycle import events
from sessions.lifecycle.events import Entry
from sessions.models import Export
from tests.support.factories import StreamingSessionFactory, UserFactory
from tests.timeouts import WAIT_TIMEOUT_S

PAGE_ROWS = 3
ASGIClient: Any = ApplicationCommunicator
TOKEN = "t" * 32
"""CSRF token, sent as cookie and as header."""


def with_events() -> tuple[str, Any]:
    """Return the cookies of an auditor, and a session with several pages of events."""
    roles.sync()
    auditor = UserFactory.create(is_staff=True)
    auditor.groups.add(Group.objects.get(name=roles.AUDITOR.group))
    client = Client()
    client.force_login(auditor)
    session = StreamingSessionFactory.create(deadline_at=timezone.now())
    for number in range(3 * PAGE_ROWS):
        events.record(session.pk, Entry("thing", {"n": number}))
    cookies = "; ".join(f"{name}={cookie.value}" for name, cookie in client.cookies.items())
    return f"{cookies}; csrftoken={TOKEN}", session


def request(address: str, cookies: str) -> dict[str, Any]:
    headers = {
        "host": "testserver",
        "cookie": cookies,
        "x-csrftoken": TOKEN,
        "content-type": "application/x-www-form-urlencoded",
    }
    return {
        "type": "http", "http_version": "1.1", "method": "POST", "path": address, "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 40000), "server": ("testserver", 80),
    }  # fmt: skip


def about(export: Export) -> list[tuple[str, int]]:
    """Return the statements about the export in the record, in order."""
    stated = []
    for entry in AuditEntry.objects.order_by("number"):
        columns = entry.data.get("rows", {}).get("export", {}).get(export.pk.hex, {})
        if "state" in columns:
            stated.append((columns["state"], columns["rows_done"]))
    return stated


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("format", ["csv", "jsonl"])
async def test_a_download_cut_off_records_the_rows_that_were_sent(format: str) -> None:
    cookies, _session = await sync_to_async(with_events)()
    is_second_page, has_left = asyncio.Event(), Event()
    loop, read = asyncio.get_running_loop(), list_export._read
    pages = iter(range(10))

    def read_slowly(*args: Any) -> Any:
        if next(pages):
            loop.call_soon_threadsafe(is_second_page.set)
            has_left.wait(WAIT_TIMEOUT_S)
        return read(*args)

    with patch.object(list_export, "_read", read_slowly), patch.object(list_export, "PAGE_ROWS", PAGE_ROWS):
        scope = request(reverse("admin:avatar_sessions_export_new"), cookies)
        client = ASGIClient(get_asgi_application(), scope)
        body = urlencode({"what": "events", "format": format, "reason": ""}).encode()
        await client.send_input({"type": "http.request", "body": body})
        assert (await client.receive_output(WAIT_TIMEOUT_S))["status"] == 200
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await is_second_page.wait()
        await client.send_input({"type": "http.disconnect"})
        has_left.set()
        await client.wait(WAIT_TIMEOUT_S)
        export = await Export.objects.aget()
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while export.state == "sent":  # the event loop closes the generator later
                await asyncio.sleep(0)
                export = await Export.objects.aget()
    assert (export.state, export.rows_done) == ("cut_off", PAGE_ROWS)
    assert await sync_to_async(about)(export) == [("sent", 0), ("cut_off", PAGE_ROWS)]
    assert await sync_to_async(lambda: list(verification.faults()))() == []


@pytest.mark.django_db(transaction=True)
async def test_a_complete_download_records_all_rows() -> None:
    cookies, _session = await sync_to_async(with_events)()
    with patch.object(list_export, "PAGE_ROWS", PAGE_ROWS):
        client = ASGIClient(get_asgi_application(), request(reverse("admin:avatar_sessions_export_new"), cookies))
        body = urlencode({"what": "events", "format": "csv", "reason": ""}).encode()
        await client.send_input({"type": "http.request", "body": body})
        await client.receive_output(WAIT_TIMEOUT_S)
        while (await client.receive_output(WAIT_TIMEOUT_S)).get("more_body"):
            pass
        await client.wait(WAIT_TIMEOUT_S)
    export = await Export.objects.aget()
    assert (export.state, export.rows_done) == ("sent", 3 * PAGE_ROWS)
