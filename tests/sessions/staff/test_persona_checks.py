"""The nightly check of published personas hides the broken ones."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.core import mail
from django.test import Client
from django.utils import timezone

from avatars.models import Avatar, Persona, PersonaCheck
from avatars.personas import publishing
from heygen_portal.providers.contract.provider import LimitReached, ProviderRejected, ProviderUnreachable
from sessions.models import EndReason, Purpose, Status, StreamingSession
from sessions.staff import persona_checks
from tests.support.factories import EndUserFactory, PersonaFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

Outcome = PersonaCheck.Outcome
ENGLISH = {"accept-language": "en"}


@pytest.fixture(autouse=True)
def catalogue(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exception]:
    """Make syncs succeed unless a test adds an error for an account here."""
    errors: dict[str, Exception] = {}

    async def refresh_catalogue(account: Any) -> None:
        if error := errors.get(account.name):
            raise error

    monkeypatch.setattr(persona_checks, "refresh_catalogue", refresh_catalogue)
    return errors


def make_persona(**fields: Any) -> Persona:
    return PersonaFactory.create(**{"published": True, "slug": "lucia", "avatar__account__is_sandbox": True} | fields)


def run_checks() -> PersonaCheck | None:
    async_to_sync(persona_checks.check_published_personas)()
    return PersonaCheck.objects.first()


def outcome() -> str:
    check = run_checks()
    assert check
    return check.outcome


def test_a_working_persona_is_tried_with_a_session_that_ends_at_once(provider: Mock) -> None:
    persona = make_persona()
    assert outcome() == Outcome.PASSED
    session = StreamingSession.objects.get()
    assert (session.status, session.purpose, session.end_reason) == (
        Status.ENDED, Purpose.CHECK, EndReason.STAFF_STOPPED,
    )  # fmt: skip
    provider.stop_session.assert_awaited_once()
    persona.refresh_from_db()
    assert persona.hidden_at is None


def test_a_refused_persona_is_hidden_and_staff_are_notified(
    provider: Mock, client: Client, admin_client: Client
) -> None:
    """Complaint 16."""
    persona = make_persona()
    editor = UserFactory.create(email="nora@example.org")
    editor.user_permissions.add(Permission.objects.get(codename="publish_persona"))
    provider.new_session.side_effect = ProviderRejected("avatar not found", code="10012", status=404)
    assert outcome() == Outcome.REFUSED
    client.force_login(EndUserFactory.create())
    assert client.get("/personas/lucia/").status_code == 404
    assert list(client.get("/").context["personas"]) == []
    (letter,) = mail.outbox
    assert "nora@example.org" in letter.to
    assert "Lucía" in letter.body
    assert "10012" in letter.body
    page = admin_client.get(f"/admin/avatars/persona/{persona.pk}/change/", headers=ENGLISH).content.decode()
    assert "refused by the provider (ProviderRejected, 404, 10012)" in page
    run_checks()
    assert len(mail.outbox) == 1  # the same result is mailed once
    provider.new_session.side_effect = None
    assert outcome() == Outcome.PASSED
    assert client.get("/personas/lucia/").status_code == 200


def test_an_invalid_persona_is_found_without_a_paid_session(provider: Mock) -> None:
    persona = make_persona(avatar__account__is_sandbox=False)
    assert outcome() == Outcome.FITS
    provider.new_session.assert_not_awaited()
    Avatar.objects.update(gone_at=timezone.now())
    assert outcome() == Outcome.UNFIT
    persona.refresh_from_db()
    assert persona.hidden_at
    Avatar.objects.update(gone_at=None)
    publishing.publish(persona)
    assert Persona.objects.published().exists()


@pytest.mark.parametrize("choice", ["always", "never"])
def test_the_accounts_setting_decides_whether_sessions_are_tried(provider: Mock, choice: str) -> None:
    make_persona(avatar__account__nightly_check=choice, avatar__account__is_sandbox=choice == "never")
    assert outcome() == (Outcome.PASSED if choice == "always" else Outcome.FITS)


@pytest.mark.parametrize(
    ("error", "found"),
    [(LimitReached("no place", status=429), Outcome.SKIPPED), (ProviderUnreachable("cut"), Outcome.AWAY)],
)
def test_a_full_or_unreachable_provider_hides_no_persona(provider: Mock, error: Exception, found: Outcome) -> None:
    persona = make_persona()
    provider.new_session.side_effect = error
    assert outcome() == found
    persona.refresh_from_db()
    assert (persona.hidden_at, mail.outbox) == (None, [])


def test_an_unreadable_catalogue_hides_no_persona(provider: Mock, catalogue: dict[str, Exception]) -> None:
    persona = make_persona()
    catalogue[persona.avatar.account.name] = ProviderUnreachable("cut")
    assert outcome() == Outcome.AWAY
    provider.new_session.assert_not_awaited()
    persona.refresh_from_db()
    assert persona.hidden_at is None
