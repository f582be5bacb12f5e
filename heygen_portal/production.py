"""Whether this portal is in production, and which of its settings would be unsafe there."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from heygen_portal.runtime.client_address import is_loopback

SHORTEST_SECRET = 50
"""Characters, the minimum that Django requires of SECRET_KEY."""
FEWEST_DIFFERENT = 10
"""Different characters: a random value of that length has more."""
SHORTEST_LIVEKIT_SECRET = 32


def serves_others() -> bool:
    """Whether this is production: DEBUG is off, and a host beyond this machine is allowed."""
    return not settings.DEBUG and any(not is_loopback(host.strip("[]")) for host in settings.ALLOWED_HOSTS)


def default_secrets() -> list[str]:
    """Return the names of the secrets that are, or still accept, those from the repository."""
    given = {name: [value] for name, value in _secrets().items()} | _retired()
    return [name for name, values in given.items() if any(map(_is_default, values))]


def weak_secrets() -> list[str]:
    """Return the names of secrets that can be guessed, except the default ones."""
    given = {name: [value] for name, value in _secrets().items()} | _retired()
    weak = [
        name for name, values in given.items() if any(_is_weak(value) and not _is_default(value) for value in values)
    ]
    if settings.LIVEKIT_API_SECRET and _is_weak(settings.LIVEKIT_API_SECRET, SHORTEST_LIVEKIT_SECRET):
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
    if serves_others() and (names := default_secrets()):
        raise ImproperlyConfigured(
            f"{' and '.join(names)} would be or hold the value from the repository, which everybody knows, while"
            " ALLOWED_HOSTS lets others in. Set each key, or its _FILE, to a random value of at least 50 characters,"
            " and let no _FALLBACKS hold the repository's: run manage.py rotate_keys before you take it out."
        )


def _secrets() -> dict[str, str]:
    return {"DJANGO_SECRET_KEY": settings.SECRET_KEY, "FIELD_ENCRYPTION_KEY": settings.FIELD_ENCRYPTION_KEY}


def _retired() -> dict[str, list[str]]:
    return {
        "DJANGO_SECRET_KEY_FALLBACKS": settings.SECRET_KEY_FALLBACKS,
        "FIELD_ENCRYPTION_KEY_FALLBACKS": settings.FIELD_ENCRYPTION_KEY_FALLBACKS,
    }


def _is_default(value: str) -> bool:
    return value.startswith("not-secret")


def _is_weak(value: str, shortest: int = SHORTEST_SECRET) -> bool:
    is_repeated = value in (value + value)[1:-1]  # as "1234512345"
    is_poor = len(value) < shortest or len(set(value)) < FEWEST_DIFFERENT
    return is_poor or is_repeated or value.startswith("django-insecure-")
