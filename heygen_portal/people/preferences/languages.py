"""The language a user last used, for mail that they did not request."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.utils import translation

from heygen_portal.branding.current import current
from heygen_portal.branding.languages import offered_or_default
from heygen_portal.models import PreferredLanguage


def remember(user_id: int, code: str | None) -> None:
    """Store a user's language. Codes of languages that are not offered are ignored."""
    if code and code in current().language_codes:
        PreferredLanguage.objects.update_or_create(user_id=user_id, defaults={"code": code})


def of(user: User) -> str:
    """Return a user's language, or the default before their first sign-in or if theirs is no longer offered."""
    stored = PreferredLanguage.objects.filter(user=user).values_list("code", flat=True).first()
    return offered_or_default(stored)


def for_change_by(user: User, by_id: int | None) -> str:
    """Return the language for mail about a change.

    It is the active one if users change their own account.
    """
    active = translation.get_language()
    return active if active and by_id == user.pk else of(user)
