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
MIN_TOKEN_CHARACTERS = 32
"""Of LIVEKIT_API_SECRET and HEALTH_TOKEN."""


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
    if settings.LIVEKIT_API_SECRET and is_weak_token(settings.LIVEKIT_API_SECRET):
        weak.append("LIVEKIT_API_SECRET")
    return weak


def is_weak_token(value: str) -> bool:
    """Whether a token is short or repetitive."""
    return _is_weak(value, MIN_TOKEN_CHARACTERS)


def wildcard_hosts() -> list[str]:
    """Return allowed hosts that match foreign domains: `*` or a whole TLD."""
    return [host for host in settings.ALLOWED_HOSTS if host == "*" or (host.startswith(".") and "." not in host[1:])]


def redis_is_open() -> bool:
    """Whether Redis is on another machine and asks for no password."""
    parts = urlsplit(settings.REDIS_URL)
    return parts.scheme != "unix" and not unquote(parts.password or "") and not is_loopback(parts.hostname)


def refuse_unsafe_settings() -> None:
    """Raise ImproperlyConfigured in production while a critical setting is unsafe.

    The message names each setting, what is wrong, and how to mend it.
    """
    if is_production() and (problems := critical_problems()):
        raise ImproperlyConfigured("\n".join(problems))


def critical_problems() -> list[str]:
    """Return a message for each setting with which the portal refuses to start."""
    problems = []
    if names := default_secrets():
        problems.append(
            f"{' and '.join(names)}: ALLOWED_HOSTS allows other machines, but these are or contain the public values"
            " from the repository. Set each key, or its _FILE, to a random value of at least 50 characters. To remove"
            " the public value from _FALLBACKS, run manage.py rotate_keys first."
        )
    # Retired keys are exempt: refusing a weak one would prevent replacing it (docs/keys.md).
    if names := [name for name in weak_secrets() if not name.endswith("_FALLBACKS")]:
        problems.append(
            f"{' and '.join(names)}: can be guessed. Set each, or its _FILE, to a random value of at least 50"
            " characters. To replace a key that is in use, see docs/keys.md."
        )
    if hosts := wildcard_hosts():
        problems.append(
            f"ALLOWED_HOSTS: {' and '.join(hosts)} accepts foreign domains as the portal's. List the portal's own"
            " hosts, for example ALLOWED_HOSTS=portal.example.org."
        )
    if redis_is_open():
        problems.append(
            "REDIS_URL: Redis is on another machine and has no password. Set requirepass or an ACL, and"
            " REDIS_URL=redis://:password@host:6379/0."
        )
    return problems


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
