from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from sessions import errors
from sessions.capacity import guests, slots
from sessions.capacity.queue import TabAddress
from sessions.capacity.slots import NoFreeSlot, StartRequest
from sessions.embed import tokens
from sessions.lifecycle import end_evidence, transitions
from sessions.models import (
    EndReason,
    Guest,
    GuestLink,
    LimitBy,
    PersonaEmbed,
    Purpose,
    QueueEntry,
    ServerProcess,
    StreamingSession,
)
from tests.sessions.embed.visitors import SITE, embed_of
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db


def a_guest(
    embed: PersonaEmbed, device: str = "a-device", address: str = "192.0.2.7", link: GuestLink | None = None
) -> Guest:
    visit = tokens.new_visit(embed.pk, "" if link else SITE, link.pk if link else None, device)
    return guests.admit(visit, address, has_guardian=False)


def talk(guest: Guest) -> StreamingSession:
    """Start and end a conversation."""
    session = slots.open_session(guest.pk, guest.embed.persona.slug, StartRequest(), checks_access=True)
    StreamingSession.objects.filter(pk=session.pk).update(provider_session_id=f"theirs-{session.pk}")
    session.refresh_from_db()
    transitions.begin_stop(session, EndReason.USER_STOPPED, end_evidence.person(guest.pk))
    transitions.end(session)
    return session


def refusal(guest: Guest) -> str:
    with pytest.raises(errors.SessionError) as refused:
        talk(guest)
    return refused.value.code


def test_a_visit_has_its_own_time_limit() -> None:
    session = talk(a_guest(embed_of(visit_limit=timedelta(minutes=4))))
    assert (session.ends_at - session.created_at, session.limit_by) == (timedelta(minutes=4), LimitBy.GUEST)


def test_each_device_network_and_persona_has_conversations_a_day() -> None:
    by_device = embed_of(conversations_per_device=1)
    talk(a_guest(by_device))
    assert refusal(a_guest(by_device, address="192.0.2.8")) == "guest_limit"
    talk(a_guest(by_device, device="another"))
    by_network = embed_of(conversations_per_network=1)
    talk(a_guest(by_network, address="2001:db8::1"))
    assert refusal(a_guest(by_network, device="another", address="2001:db8::2")) == "guest_limit"
    talk(a_guest(by_network, device="another", address="2001:db8:0:1::1"))
    in_all = embed_of(conversations_per_day=1)
    talk(a_guest(in_all))
    assert refusal(a_guest(in_all, device="another", address="192.0.2.8")) == "guests_paused"


def test_yesterdays_conversations_do_not_count() -> None:
    embed = embed_of(conversations_per_device=1, conversations_per_network=1, conversations_per_day=1)
    with time_machine.travel(timezone.now() - timedelta(days=1)):
        talk(a_guest(embed))
    talk(a_guest(embed))
    assert refusal(a_guest(embed)) == "guest_limit"


def test_guests_of_one_network_have_so_many_open_sessions_whatever_the_persona(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "OPEN_PER_NETWORK", 1)
    first, other = a_guest(embed_of()), a_guest(embed_of(), device="another")
    slots.open_session(first.pk, first.embed.persona.slug, StartRequest())
    assert refusal(other) == "guest_limit"
    elsewhere = a_guest(other.embed, device="a third", address="192.0.2.8")
    talk(elsewhere)


def test_a_visit_is_over_after_half_a_day_so_that_its_conversations_count() -> None:
    embed = embed_of(conversations_per_device=1)
    guest = a_guest(embed)
    Guest.objects.update(created_at=timezone.now() - timedelta(hours=11, minutes=59))
    session = talk(guest)
    Guest.objects.update(created_at=timezone.now() - timedelta(hours=12))
    assert refusal(guest) == "visit_over"
    again = slots.open_session(guest.pk, embed.persona.slug, StartRequest(continues=session.pk), checks_access=True)
    assert again.conversation_id == session.conversation_id


def test_guests_of_a_persona_share_a_daily_spending_cap() -> None:
    embed = embed_of(credits_per_day=Decimal(3))
    account = embed.persona.avatar.account
    type(account).objects.update(credits_per_minute=Decimal(1), concurrency_limit=9)
    first = slots.open_session(a_guest(embed).pk, embed.persona.slug, StartRequest())
    assert (first.ends_at - first.created_at, first.limit_by) == (timedelta(minutes=3), LimitBy.GUEST_CAP)
    # What a running session may still cost is promised.
    assert refusal(a_guest(embed, device="another", address="192.0.2.8")) == "guests_paused"


def test_what_guests_spent_yesterday_does_not_count_and_what_they_did_not_use_is_returned() -> None:
    embed = embed_of(credits_per_day=Decimal(3))
    type(embed.persona.avatar.account).objects.update(credits_per_minute=Decimal(1), concurrency_limit=9)
    with time_machine.travel(timezone.now() - timedelta(days=1)):
        slots.open_session(a_guest(embed).pk, embed.persona.slug, StartRequest())
    talk(a_guest(embed))  # for no time
    last = slots.open_session(a_guest(embed, device="another").pk, embed.persona.slug, StartRequest())
    assert timedelta(minutes=2, seconds=50) < last.ends_at - last.created_at <= timedelta(minutes=3)


def test_the_age_is_confirmed_once_for_a_guest() -> None:
    embed = embed_of(needs_guardian=True)
    visit = tokens.new_visit(embed.pk, SITE, None, "a-device")
    with pytest.raises(errors.AgeNeeded):
        guests.admit(visit, None, has_guardian=False)
    assert not Guest.objects.exists()
    assert guests.admit(visit, None, has_guardian=True).has_guardian
    assert guests.admit(visit, None, has_guardian=False).has_guardian  # the same guest again
    with pytest.raises(errors.AgeNeeded):
        guests.admit(tokens.new_visit(embed.pk, SITE, None, "a-device"), None, has_guardian=False)


def test_a_link_that_has_expired_starts_nothing() -> None:
    embed = embed_of(is_enabled=False)
    link = GuestLink.objects.create(
        embed=embed, label="Fair", expires_at=timezone.now() + timedelta(days=1), max_uses=5
    )
    guest = a_guest(embed, link=link)
    GuestLink.objects.update(expires_at=timezone.now())
    assert refusal(guest) == "access_ended"
    assert GuestLink.objects.get().uses == 0


def test_a_link_is_good_for_so_many_conversations_and_a_refused_start_uses_none() -> None:
    embed = embed_of(is_enabled=False)
    link = GuestLink.objects.create(
        embed=embed, label="Fair", expires_at=timezone.now() + timedelta(days=1), max_uses=1
    )
    accounts = type(embed.persona.avatar.account).objects
    accounts.update(concurrency_limit=1)
    StreamingSessionFactory.create(persona=embed.persona)  # a user has the only slot
    with pytest.raises(NoFreeSlot):
        slots.open_session(a_guest(embed, link=link).pk, embed.persona.slug, StartRequest())
    accounts.update(concurrency_limit=9)
    talk(a_guest(embed, link=link))
    assert refusal(a_guest(embed, device="another", link=link)) == "guests_paused"


@pytest.mark.parametrize(
    "change", [{"is_enabled": False}, {"origins": ["https://elsewhere.test"]}, {"is_enabled": True, "origins": []}]
)
def test_a_start_is_refused_once_guests_are_not_let_in(change: dict[str, Any]) -> None:
    embed = embed_of()
    guest = a_guest(embed)
    PersonaEmbed.objects.update(**change)
    assert refusal(guest) == "access_ended"


def test_a_guest_starts_no_other_persona_and_no_draft() -> None:
    guest, other = a_guest(embed_of()), embed_of()
    for slug, purpose in ((other.persona.slug, "talk"), (guest.embed.persona.slug, "trial")):
        request = StartRequest(purpose=Purpose(purpose))
        with pytest.raises(errors.NotFound):
            slots.open_session(guest.pk, slug, request, checks_access=True)


def test_one_network_cannot_fill_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "OPEN_PER_NETWORK", 1)
    embed = embed_of()
    first, second, elsewhere = (a_guest(embed, address=f"192.0.2.{end}") for end in (7, 7, 8))
    process = ServerProcess.objects.create(lease_ends_at=timezone.now())
    for guest in (first, elsewhere):
        tab = TabAddress(process.pk, f"tab-{guest.pk}")
        slots.join_queue(guest.pk, embed.persona, tab, StartRequest())
    with pytest.raises(errors.QueueFull):
        slots.join_queue(second.pk, embed.persona, TabAddress(process.pk, "tab-2"), StartRequest())
    assert {entry.owner_name for entry in QueueEntry.objects.all()} == {str(first), str(elsewhere)}


def test_a_kiosk_is_one_device_for_many_guests() -> None:
    embed = embed_of(conversations_per_device=1, conversations_per_network=1)
    tomorrow = timezone.now() + timedelta(days=1)
    kiosk = GuestLink.objects.create(embed=embed, label="Hall", expires_at=tomorrow, max_uses=9, is_kiosk=True)
    for _ in range(2):
        talk(a_guest(embed, link=kiosk))
    assert GuestLink.objects.get().uses == 2


def test_a_guest_row_holds_no_address() -> None:
    guest = a_guest(embed_of(), address="192.0.2.77")
    assert "192.0.2.77" not in str(vars(guest))
