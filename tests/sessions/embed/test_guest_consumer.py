from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
import time_machine
from asgiref.sync import sync_to_async
from django.utils import timezone

from heygen_portal.trail.models import AuditEntry
from sessions.embed import admission
from sessions.embed.guest_consumer import SUBPROTOCOL
from sessions.integrity import verification
from sessions.models import Guest, GuestLink, PersonaEmbed, SessionEvent, StreamingSession
from sessions.web import page_socket
from tests.sessions.embed.visitors import SITE, GuestTab, a_link, a_token, an_embed, guest
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("provider")]


async def test_a_guest_talks_from_start_to_stop(provider: Mock) -> None:
    embed = await an_embed()
    async with guest(embed) as tab:
        assert await Guest.objects.acount() == 0  # a guest who only looks leaves no row
        await tab.say("session.start")
        await tab.hear("session.room")
        await tab.say("event.report", kind="first_frame", data={"ms": 312})
        live = await tab.hear("session.status", status="live")
        await tab.say("task.send", ref="1", kind="talk", text="Hello")
        assert (await tab.hear("task.sent"))["status"] == "sent"
        for wrong in ({"kind": "repeat", "ref": "2"}, {"kind": "talk", "ref": ""}):
            await tab.say("task.send", text="Hello", **wrong)
            await tab.hear("error", code="bad_message")
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended", reason="user_stopped")
    session = await StreamingSession.objects.aget(pk=live["session_id"])
    assert session.user_id is None
    assert session.owner_name.endswith(f" {str(session.guest_id)[:8]}")  # "Guest", in the reader's language
    requested = await SessionEvent.objects.aget(session=session, kind="requested")
    assert (requested.data["site"], requested.data["guest"]) == (SITE, str(session.guest_id))
    assert provider.send_task.call_args.kwargs["text"] == "Hello"
    assert await sync_to_async(lambda: list(verification.faults()))() == []


async def refused_with(tab: GuestTab) -> tuple[str, int]:
    assert await tab.connect(timeout=WAIT_TIMEOUT_S) == (True, SUBPROTOCOL)
    error = await tab.hear("error")
    closed = await tab.receive_output(timeout=WAIT_TIMEOUT_S)
    return error["code"], closed["code"]


async def test_a_guest_learns_that_the_portal_has_no_redis(settings: Any) -> None:
    embed = await an_embed()
    layer = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": ["redis://127.0.0.1:1"]}}
    settings.CHANNEL_LAYERS = {"default": layer}
    # Browsers drop a socket that does not accept the protocol they offered, and its error with it.
    assert await refused_with(GuestTab(embed.public_id, await a_token(embed))) == ("unwell", 4503)


async def test_a_forged_replayed_expired_or_foreign_token_is_refused_on_record() -> None:
    embed, other = await an_embed(), await an_embed()
    used = await a_token(embed)
    first = GuestTab(embed.public_id, used)
    await first.connect(timeout=WAIT_TIMEOUT_S)
    await first.disconnect(timeout=WAIT_TIMEOUT_S)
    forged = used[:-4] + ("AAAA" if not used.endswith("AAAA") else "BBBB")
    with time_machine.travel(timezone.now() - timedelta(seconds=61)):
        expired = await a_token(embed)
    attempts = {
        "token_used": GuestTab(embed.public_id, used),
        "token_invalid": GuestTab(embed.public_id, forged),
        "token_expired": GuestTab(embed.public_id, expired),
    }
    for code, tab in attempts.items():
        assert await refused_with(tab) == (code, 4403)
    for stranger in (
        GuestTab(other.public_id, await a_token(embed)),  # another persona's
        GuestTab(embed.public_id, await a_token(embed), device="another-device"),
        GuestTab(embed.public_id, await a_token(embed), device=""),
        GuestTab(embed.public_id, ""),
    ):
        assert await refused_with(stranger) == ("token_invalid", 4403)
    entries = AuditEntry.objects.filter(kind="guest_refused").order_by("number")
    reasons = [entry.data["reason"] async for entry in entries]
    assert reasons == ["token_used", "token_invalid", "token_expired", *["token_invalid"] * 4]


async def test_a_token_is_worth_nothing_once_its_site_or_link_is_withdrawn() -> None:
    """The site and the link are checked when the socket opens, not only when the token is made."""
    embed = await an_embed()
    link = await a_link(embed)
    signed = admission.signed_code(link)
    from_site, from_link, expired = await a_token(embed), *[await a_token(embed, link=signed) for _ in range(2)]
    await PersonaEmbed.objects.filter(pk=embed.pk).aupdate(origins=["https://elsewhere.test"])
    assert await refused_with(GuestTab(embed.public_id, from_site)) == ("origin_refused", 4403)
    await GuestLink.objects.filter(pk=link.pk).aupdate(revoked_at=timezone.now())
    assert await refused_with(GuestTab(embed.public_id, from_link)) == ("link_unusable", 4403)
    await GuestLink.objects.filter(pk=link.pk).aupdate(revoked_at=None, expires_at=timezone.now())
    assert await refused_with(GuestTab(embed.public_id, expired)) == ("link_unusable", 4403)
    entries = AuditEntry.objects.filter(kind="guest_refused").order_by("number")
    assert [entry.data["reason"] async for entry in entries] == ["origin_refused", "link_unusable", "link_unusable"]


async def test_a_page_of_another_site_opens_no_guests_socket() -> None:
    """Even with a token that was stolen from the portal's own page."""
    embed = await an_embed()
    tab = GuestTab(embed.public_id, await a_token(embed), origin=SITE)
    is_open, _code = await tab.connect(timeout=WAIT_TIMEOUT_S)
    assert not is_open


async def test_a_guest_whose_link_expires_is_stopped() -> None:
    embed = await an_embed(is_enabled=False)
    link = await a_link(embed)
    token = await a_token(embed, link=admission.signed_code(link))
    tab = GuestTab(embed.public_id, token)
    assert await tab.connect(timeout=WAIT_TIMEOUT_S) == (True, SUBPROTOCOL)
    await tab.say("session.start")
    room = await tab.hear("session.status", status="connecting")
    await GuestLink.objects.filter(pk=link.pk).aupdate(expires_at=timezone.now())
    await page_socket.check_access(page_socket._open_sockets)
    assert (await tab.hear("error"))["code"] == "access_ended"
    assert (await StreamingSession.objects.aget(pk=room["session_id"])).end_reason == "staff_stopped"
    await tab.disconnect(timeout=WAIT_TIMEOUT_S)


async def test_a_visit_does_not_open_a_socket() -> None:
    embed = await an_embed()
    admitted = await sync_to_async(_admit)(embed)
    assert await refused_with(GuestTab(embed.public_id, admitted)) == ("token_invalid", 4403)


def _admit(embed: PersonaEmbed) -> str:
    request = {"origin": SITE}
    return admission.admit(embed, request, device=admission.device_hash("a-device"), address=None).visit_token


async def test_a_guest_whose_site_is_taken_off_the_list_is_stopped() -> None:
    embed = await an_embed()
    async with guest(embed) as tab:
        await tab.say("session.start")
        room = await tab.hear("session.status", status="connecting")
        await PersonaEmbed.objects.filter(pk=embed.pk).aupdate(origins=["https://elsewhere.test"])
        await page_socket.check_access(page_socket._open_sockets)
        assert (await tab.hear("error"))["code"] == "access_ended"
        session = await StreamingSession.objects.aget(pk=room["session_id"])
        assert session.end_reason == "staff_stopped"


async def test_a_guest_sees_nothing_of_another_guest() -> None:
    embed = await an_embed()
    async with guest(embed) as tab, guest(embed, device="another") as other:
        await tab.say("session.start")
        started = await tab.hear("session.status", status="connecting")
        await other.say("session.join", session_id=started["session_id"])
        assert (await other.hear("error"))["code"] == "not_found"
        await other.say("session.start", continues=started["session_id"])
        assert (await other.hear("error"))["code"] == "not_found"


async def test_a_guest_confirms_the_age_where_staff_require_it() -> None:
    embed = await an_embed(needs_guardian=True)
    async with guest(embed) as tab:
        await tab.say("session.start")
        assert (await tab.hear("error"))["code"] == "age_needed"
        await tab.say("session.start", age_confirmed=True)
        await tab.hear("session.room")
    assert (await Guest.objects.aget()).has_guardian
