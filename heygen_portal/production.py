"""Whether this is production, and which settings would be unsafe there."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from heygen_portal.runtime.client_address import is_loopback

MIN_SECRET_CHARACTERS = 50
"""The minimum that Django requires of SECRET_KEY."""
MIN_DIFFERENT_CHARACTERS = 10
"""A random value of that length has more different characters."""
MIN_LIVEKIT_SECRET_CHARACTERS = 32


def is_production() -> bool:
    """Whether DEBUG is off and a host other than this machine is allowed."""
    return not settings.DEBUG and any(not is_loopback(host.strip("[]")) for host in settings.ALLOWED_HOSTS)


def default_secrets() -> list[str]:
    """Return the names of secrets that are or accept the values from the repository."""
    given = {name: [value] for name, value in _secrets().items()} | _retired_secrets()
    return [name for name, values in given.items() if any(map(_is_default, values))]


def weak_secrets() -> list[str]:
    """Return the names of secrets that can be guessed, except the default ones."""
    given = {name: [value] for name, value in _secrets().items()} | _retired_secrets()
    weak = [
        name for name, values in given.items() if any(_is_weak(value) and not _is_default(value) for value in values)
    ]
    if settings.LIVEKIT_API_SECRET and _is_weak(settings.LIVEKIT_API_SECRET, MIN_LIVEKIT_SECRET_CHARACTERS):
        weak.append("LIVEKIT_API_SECRET")
    return weak


def wildcard_hosts() -> list[str]:
    """Return allowed hosts that match foreign domains: `*` and whole top-level domains."""
    return [host for host in settings.ALLOWED_HOSTS if host == "*" or (host.startswith(".") and "." not in host[1:])]


def redis_is_open() -> bool:
    """Whether Redis is on another machine and asks for no password."""
    parts = urlsplit(settings.REDIS_URL)
    return parts.scheme != "unix" and not unquote(parts.password or "") and not is_loopback(parts.hostname)


def refuse_default_secrets() -> None:
    """Raise ImproperlyConfigured in production with secrets from the repository."""
    if is_production() and (names := default_secrets()):
        raise ImproperlyConfigured(
            f"{' and '.join(names)}: ALLOWED_HOSTS allows other machines, but these are or contain the public values"
            " from the repository. Set each key, or its _FILE, to a random value of at least 50 characters. To remove"
            " the public value from _FALLBACKS, run manage.py rotate_keys first."
        )


def _secrets() -> dict[str, str]:
    return {"DJANGO_SECRET_KEY": settings.SECRET_KEY, "FIELD_ENCRYPTION_KEY": settings.FIELD_ENCRYPTION_KEY}


def _retired_secrets() -> dict[str, list[str]]:
    return {
        "DJANGO_SECRET_KEY_FALLBACKS": settings.SECRET_KEY_FALLBACKS,
        "FIELD_ENCRYPTION_KEY_FALLBACKS": settings.FIELD_ENCRYPTION_KEY_FALLBACKS,
    }


def _is_default(value: str) -> bool:
    return value.startswith("not-secret")


def _is_weak(value: str, min_characters: int = MIN_SECRET_CHARACTERS) -> bool:
    is_repeated = value in (value + value)[1:-1]  # as "1234512345"
    is_short = len(value) < min_characters or len(set(value)) < MIN_DIFFERENT_CHARACTERS
    return is_short or is_repeated or value.startswith("django-insecure-")
