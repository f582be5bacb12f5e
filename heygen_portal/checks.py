"""System checks: settings that cannot work or are unsafe, with hints."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning

from heygen_portal import production
from heygen_portal.runtime import budgets, client_address, file_responses

CHECK_NUMBERS = {
    "DJANGO_SECRET_KEY": 1,
    "FIELD_ENCRYPTION_KEY": 2,
    "DJANGO_SECRET_KEY_FALLBACKS": 5,
    "FIELD_ENCRYPTION_KEY_FALLBACKS": 6,
}


@register(Tags.security, deploy=True)
def check_secrets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report secrets that are public or can be guessed."""
    found: list[CheckMessage] = [
        Error(
            f"{name} is or contains the public value from the repository.",
            hint=f"Set {name} or {name}_FILE to a random value of at least 50 characters.",
            id=f"heygen_portal.E00{CHECK_NUMBERS[name]}",
        )
        for name in production.default_secrets()
    ]
    found += [_weak_secret(name) for name in production.weak_secrets()]
    if settings.SECRET_KEY == settings.FIELD_ENCRYPTION_KEY:
        hint = "Use a different value for each: docs/keys.md."
        words = "DJANGO_SECRET_KEY and FIELD_ENCRYPTION_KEY are the same."
        found.append(Error(words, hint=hint, id="heygen_portal.E032"))
    return found


def _weak_secret(name: str) -> CheckMessage:
    if name.endswith("_FALLBACKS"):
        hint = "Keep it to verify old signatures; anchors reveal forgeries made with it: docs/record.md."
        return CheckWarning(f"{name} has a key that can be guessed.", hint=hint, id="heygen_portal.W030")
    hint = "Use a random value of at least 50 characters: docs/keys.md."
    if name == "LIVEKIT_API_SECRET":
        hint = "Use a random value of at least 32 characters, here and in LiveKit's configuration."
    return Error(f"{name} can be guessed.", hint=hint, id="heygen_portal.E030")


@register(Tags.security, deploy=True)
def check_allowed_hosts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report wildcard hosts.

    Links in mail and the origin check of sockets rely on the Host header.
    """
    return [
        Error(
            f"ALLOWED_HOSTS has {host}, so foreign domains are accepted as the portal's.",
            hint="List the portal's own hosts, for example ALLOWED_HOSTS=portal.example.org.",
            id="heygen_portal.E031",
        )
        for host in production.wildcard_hosts()
    ]


@register(Tags.security, deploy=True)
def check_https(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report what other machines get in clear text, and HTTPS without PROXY_COUNT.

    With PROXY_COUNT=0, all addresses in logs and limits would be the proxy's.
    """
    found: list[CheckMessage] = []
    if production.is_production() and not settings.HTTPS:
        hint = "Put a proxy with a certificate in front, and set HTTPS=1 and PROXY_COUNT: docs/web-server.md."
        found.append(
            Error("HTTPS is off, so cookies and speech are sent in clear.", hint=hint, id="heygen_portal.E036")
        )
    if settings.HTTPS and settings.PROXY_COUNT < 1:
        hint = "Set PROXY_COUNT to the number of proxies that add to X-Forwarded-For."
        found.append(Error("HTTPS is on and PROXY_COUNT is 0.", hint=hint, id="heygen_portal.E037"))
    rooms = urlsplit(settings.LIVEKIT_PUBLIC_URL)
    if rooms.scheme in ("ws", "http") and settings.HTTPS and not client_address.is_loopback(rooms.hostname):
        hint = "Set LIVEKIT_PUBLIC_URL to its wss:// address: browsers refuse others on pages with HTTPS."
        found.append(Error("LIVEKIT_PUBLIC_URL is not encrypted.", hint=hint, id="heygen_portal.E038"))
    is_remote_mail = settings.EMAIL_HOST and not client_address.is_loopback(settings.EMAIL_HOST)
    if is_remote_mail and settings.EMAIL_HOST_PASSWORD and not settings.EMAIL_USE_TLS:
        hint = "Unset EMAIL_USE_TLS, whose default is on."
        found.append(Error("The mail server's password is sent in clear.", hint=hint, id="heygen_portal.E039"))
    return found


@register(Tags.security, deploy=True)
def check_health_token(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report a token for monitors that is too short, and therefore not accepted."""
    if settings.HEALTH_TOKEN and production.is_weak_token(settings.HEALTH_TOKEN):
        hint = f"Use a random value of at least {production.MIN_TOKEN_CHARACTERS} characters."
        return [Error("HEALTH_TOKEN can be guessed.", hint=hint, id="heygen_portal.E040")]
    return []


@register(Tags.security, deploy=True)
def check_origins(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report foreign origins whose pages could send forms or receive what is said."""
    found: list[CheckMessage] = [
        Error(
            f"CSRF_TRUSTED_ORIGINS has {origin}.",
            hint="List the https:// addresses of the portal's own hosts.",
            id="heygen_portal.E041",
        )
        for origin in settings.CSRF_TRUSTED_ORIGINS
        if _is_foreign(origin) or (settings.HTTPS and not origin.startswith("https://"))
    ]
    sources = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]["connect-src"]
    found += [
        Error(
            f"CSP_CONNECT_SRC has {source}, so a script could send speech to any host.",
            hint="List the hosts of the provider's rooms.",
            id="heygen_portal.E042",
        )
        for source in sources
        if _is_foreign(source)
    ]
    return found


def _is_foreign(source: str) -> bool:
    """Whether an origin stands for any host, or all hosts of a top-level domain."""
    host = source.rpartition("://")[2].rstrip("/:")
    return host in ("*", "", "https", "http", "wss", "ws") or (host.startswith("*.") and "." not in host[2:])


@register(Tags.security, deploy=True)
def check_anchor_file(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report missing anchors.

    Without them, the database and the key are enough to forge the record.
    """
    if not settings.HISTORY_ANCHOR_FILE:
        hint = "Set it to a file that the database's owner cannot write: docs/record.md."
        return [Error("HISTORY_ANCHOR_FILE is not set.", hint=hint, id="heygen_portal.E043")]
    if error := _append_error(Path(settings.HISTORY_ANCHOR_FILE)):
        hint = "The worker's user must be able to create the file and append to it."
        return [Error(f"HISTORY_ANCHOR_FILE cannot be written: {error}.", hint=hint, id="heygen_portal.E033")]
    return []


def _append_error(path: Path) -> str:
    """Return why a file cannot be appended to, or an empty string. Creates no file."""
    try:
        if path.exists():
            path.open("ab").close()
            return ""
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        with TemporaryFile(dir=folder):
            return ""
    except OSError as exc:
        return exc.strerror or type(exc).__name__


@register(Tags.security, deploy=True)
def check_redis_password(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report a remote Redis without a password.

    Access to it allows reading room messages and sending jobs to workers.
    """
    if production.redis_is_open():
        hint = "Set requirepass or an ACL, and REDIS_URL=redis://:password@host:6379/0."
        return [Error("Redis is on another machine and has no password.", hint=hint, id="heygen_portal.E034")]
    return []


@register(Tags.compatibility)
def check_channel_layer(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report an in-memory channel layer, which does not reach other processes."""
    if "InMemory" in settings.CHANNEL_LAYERS["default"]["BACKEND"]:
        return [
            Error(
                "The channel layer is in memory, so messages from the worker reach no browser.",
                hint="Do not change CHANNEL_LAYERS, and set REDIS_URL to a Redis server.",
                id="heygen_portal.E003",
            )
        ]
    return []


@register(Tags.security)
def check_directory_https(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report a directory without https, whose answers could be forged."""
    is_local = urlsplit(settings.OIDC_ISSUER).hostname in ("localhost", "127.0.0.1", "::1")
    if settings.OIDC_ISSUER and not settings.OIDC_ISSUER.startswith("https://") and not is_local:
        return [Error("OIDC_ISSUER is not https.", hint="Use its https:// address.", id="heygen_portal.E004")]
    return []


@register(Tags.compatibility)
def check_budgets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report invalid budgets, which would fail at the first request."""
    return [
        Error(
            f"BUDGETS: {name} is not a budget, or its rate is invalid.",
            hint='Write BUDGETS="task.session=300/minute"; heygen_portal/runtime/budgets.py lists the names.',
            id="heygen_portal.E010",
        )
        for name in budgets.invalid_names()
    ]


@register(Tags.security, deploy=True)
def check_debug(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report DEBUG, whose error pages show settings and speech to strangers."""
    if settings.DEBUG:
        return [Error("DEBUG is on.", hint="Unset DEBUG.", id="heygen_portal.E044")]
    return []


@register(Tags.security)
def check_privacy_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report a sign-in log that is too short to limit attempts, and an invalid link."""
    found: list[CheckMessage] = []
    if settings.SIGN_IN_LOG_DAYS < 1:
        hint = "Set it to at least 1: failed attempts are counted in the same log."
        found.append(Error("SIGN_IN_LOG_DAYS is below one day.", hint=hint, id="heygen_portal.E020"))
    if settings.PRIVACY_NOTICE_URL and not settings.PRIVACY_NOTICE_URL.startswith(("https://", "http://")):
        hint = "Use the full address, starting with https://."
        found.append(Error("PRIVACY_NOTICE_URL is not a web address.", hint=hint, id="heygen_portal.E021"))
    return found


@register(Tags.compatibility)
def check_file_sending(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report an unknown header for sending files: responses would be empty."""
    if settings.SEND_FILES_WITH not in file_responses.SEND_FILES_CHOICES:
        return [
            Error(
                f"SEND_FILES_WITH is {settings.SEND_FILES_WITH!r}.",
                hint=f"Set it to {file_responses.ACCEL} or {file_responses.SENDFILE}, or leave it unset.",
                id="heygen_portal.E035",
            )
        ]
    return []
