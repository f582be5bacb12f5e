"""Which limit applies: the lowest of all, the quota, and the monthly cap."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction
from django.utils import timezone

from heygen_portal.providers.contract.provider import ProviderSession
from sessions import errors
from sessions.actions import deadlines
from sessions.capacity import queue, quotas, slots
from sessions.lifecycle import transitions
from sessions.models import LimitBy, Quota, StreamingSession
from tests.support.factories import PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def member_of(group: Group) -> User:
    person: User = UserFactory.create()
    person.groups.add(group)
    return person


def lasts(session: StreamingSession) -> timedelta:
    return session.ends_at - session.created_at


def talked(user: User, minutes: int, **fields: object) -> StreamingSession:
    """An ended session of this month."""
    now = max(quotas.month_of(timezone.now()), timezone.now() - minutes * MINUTE)
    moments = {"created_at": now, "ended_at": now + minutes * MINUTE}
    over: StreamingSession = StreamingSessionFactory.create(user=user, status="ended", **{**moments, **fields})
    return over


@pytest.mark.parametrize(
    ("persona", "user", "group", "account", "binds"),
    [
        (20, None, None, None, LimitBy.PERSONA),
        (20, 10, 15, 30, LimitBy.USER),
        (20, 15, 10, 30, LimitBy.GROUP),
        (20, 15, 30, 10, LimitBy.ACCOUNT),
        (10, 15, 30, 20, LimitBy.PERSONA),
    ],
)
def test_the_lowest_limit_applies_and_the_record_names_its_origin(
    persona: int, user: int | None, group: int | None, account: int | None, binds: LimitBy
) -> None:
    """Complaints 5 and 19, for duration and idle limits alike."""
    members = Group.objects.create(name="Customers")
    person = member_of(members)
    for whose, minutes in (({"user": person}, user), ({"group": members}, group)):
        limit = minutes * MINUTE if minutes else None
        Quota.objects.create(**whose, duration_limit=limit, idle_timeout=limit)
    theirs = {"longest_session": account, "idle_timeout": account}
    given = {f"avatar__account__{name}": value * MINUTE for name, value in theirs.items() if value}
    chosen = PersonaFactory.create(
        published=True, duration_limit=persona * MINUTE, idle_timeout=persona * MINUTE, **given
    )
    session = slots.open_session(person.pk, chosen.slug)
    lowest = min(value for value in (persona, user, group, account) if value) * MINUTE
    assert (session.limit_by, session.idle_limit_by) == (binds, binds)
    assert (lasts(session), session.idle_timeout) == (lowest, lowest)
    assert session.events.get(kind="requested").data["limit_by"] == binds


def test_the_providers_limit_applies_if_it_is_lower() -> None:
    """Requirement 23."""
    session = slots.open_session(UserFactory.create().pk, PersonaFactory.create(published=True).slug)
    transitions.connect(session, ProviderSession("theirs", None, timedelta(seconds=600)))
    session.refresh_from_db()
    assert (lasts(session), session.limit_by) == (timedelta(seconds=600), LimitBy.PROVIDER)


def test_the_limits_of_other_groups_do_not_apply() -> None:
    Quota.objects.create(group=Group.objects.create(name="Others"), duration_limit=MINUTE, minutes_per_month=0)
    session = slots.open_session(UserFactory.create().pk, PersonaFactory.create(published=True).slug)
    assert session.limit_by == LimitBy.PERSONA


def test_the_rest_of_the_quota_limits_the_session_and_then_refuses_the_next() -> None:
    person, persona = UserFactory.create(), PersonaFactory.create(published=True)
    Quota.objects.create(user=person, minutes_per_month=30)
    talked(person, 25)
    session = slots.open_session(person.pk, persona.slug)
    assert (lasts(session), session.limit_by) == (5 * MINUTE, LimitBy.QUOTA)
    transitions.connect(session, ProviderSession("theirs", None))
    (due,) = deadlines.claim_due(session.ends_at)
    assert due.end_reason == "quota"
    StreamingSession.objects.filter(pk=session.pk).update(status="ended", ended_at=session.ends_at, deadline_at=None)
    with pytest.raises(errors.QuotaUsed):
        slots.open_session(person.pk, persona.slug)


def test_last_months_time_and_uncreated_sessions_do_not_count() -> None:
    person = UserFactory.create()
    talked(person, 10, created_at=quotas.month_of(timezone.now()) - timedelta(days=1))
    talked(person, 10, provider_session_id=None)
    assert quotas.used_by(person.pk, timezone.now()) == timedelta(0)


def test_a_users_own_quota_replaces_the_groups() -> None:
    small, large = Group.objects.create(name="Small"), Group.objects.create(name="Large")
    for group, minutes in ((small, 10), (large, 100)):
        Quota.objects.create(group=group, minutes_per_month=minutes)
    person, persona = member_of(small), PersonaFactory.create(published=True)
    person.groups.add(large)
    talked(person, 15)
    with pytest.raises(errors.QuotaUsed):  # of several groups' quotas the lowest applies
        slots.open_session(person.pk, persona.slug)
    Quota.objects.create(user=person, minutes_per_month=50)
    assert slots.open_session(person.pk, persona.slug)


def capped(**account: object) -> str:
    given = {"monthly_cap": Decimal(6), "credits_per_minute": Decimal("0.2"), **account}  # 30 minutes
    persona = PersonaFactory.create(published=True, **{f"avatar__account__{name}": it for name, it in given.items()})
    return str(persona.slug)


def test_concurrent_sessions_never_exceed_the_accounts_monthly_cap() -> None:
    """Each running session counts up to its limit: 20 minutes, 10, then none."""
    slug = capped()
    first, second = (slots.open_session(UserFactory.create().pk, slug) for _ in range(2))
    assert (lasts(first), first.limit_by) == (20 * MINUTE, LimitBy.PERSONA)
    assert lasts(second).total_seconds() == pytest.approx(600)
    assert second.limit_by == LimitBy.SPEND_CAP
    with pytest.raises(errors.SpendCap):
        slots.open_session(UserFactory.create().pk, slug)
    (due,) = [row for row in deadlines.claim_due(second.ends_at) if row.pk == second.pk]
    assert due.end_reason == "spend_cap"


def test_a_session_that_ended_early_or_was_never_created_returns_its_credits() -> None:
    slug = capped()
    session = slots.open_session(UserFactory.create().pk, slug)
    over = {"status": "ended", "end_reason": "idle", "deadline_at": None}
    StreamingSession.objects.filter(pk=session.pk).update(**over, ended_at=session.ends_at)  # it has no provider ID
    assert lasts(slots.open_session(UserFactory.create().pk, slug)) == 20 * MINUTE


@pytest.mark.parametrize("fields", [{}, {"user": True, "group": True}])
def test_a_quota_belongs_to_a_user_or_a_group(fields: dict[str, bool]) -> None:
    whose = {"user": UserFactory.create(), "group": Group.objects.create(name="Customers")}
    with pytest.raises(IntegrityError), transaction.atomic():
        Quota.objects.create(**{name: whose[name] for name in fields})


def test_a_start_takes_few_queries(django_assert_num_queries: Any) -> None:
    """Persona, quotas, notice, lock, facts, conversation, row and events: one transaction."""
    person, persona = UserFactory.create(), PersonaFactory.create(published=True)
    with django_assert_num_queries(11):
        slots.open_session(person.pk, persona.slug)


def test_an_empty_queue_is_checked_with_one_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        queue.offer_all_slots()
