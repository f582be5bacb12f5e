"""The language in which a person last used the portal, for letters that nobody's request asks for."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import translation

from heygen_portal.models import PreferredLanguage


def remember(user_id: int, code: str | None) -> None:
    """Store a person's language; codes that the portal does not speak are ignored."""
    if code in dict(settings.LANGUAGES):
        PreferredLanguage.objects.update_or_create(user_id=user_id, defaults={"code": code})


def of(user: User, default: str = settings.LANGUAGE_CODE) -> str:
    """Return a person's language, or the default before they have signed in for the first time."""
    stored = PreferredLanguage.objects.filter(user=user).values_list("code", flat=True).first()
    return stored or default


def for_change_by(user: User, by_id: int | None) -> str:
    """Return the language for a letter about what `by_id` does now: one's own page shows one's language."""
    active = translation.get_language()
    return active if active and by_id == user.pk else of(user)
