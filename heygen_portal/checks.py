"""Settings that cannot work, said before they fail, with the cure."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning

from heygen_portal import budgets, sending


@register(Tags.security, deploy=True)
def own_secrets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A portal that serves others must not use the keys that stand in its source."""
    return [
        Error(
            f"{name} is the one from the source, which everybody knows.",
            hint=f"Set {name} or {name}_FILE to a random value of at least 50 characters.",
            id=f"heygen_portal.E00{number}",
        )
        for number, name, value in (
            (1, "DJANGO_SECRET_KEY", settings.SECRET_KEY),
            (2, "FIELD_ENCRYPTION_KEY", settings.FIELD_ENCRYPTION_KEY),
        )
        if value.startswith("not-secret")
    ]


@register(Tags.compatibility)
def one_channel_layer(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The worker tells browsers that a session ended: it and the web process must share a channel layer."""
    if "InMemory" in settings.CHANNEL_LAYERS["default"]["BACKEND"]:
        return [
            Error(
                "The channel layer is in memory: what the worker says reaches no browser.",
                hint="Leave CHANNEL_LAYERS as it is and point REDIS_URL at a Redis server.",
                id="heygen_portal.E003",
            )
        ]
    return []


@register(Tags.security)
def a_directory_one_can_believe(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Who signs in is what the directory says: nobody on the way may say it in its place."""
    is_near = urlsplit(settings.OIDC_ISSUER).hostname in ("localhost", "127.0.0.1", "::1")
    if settings.OIDC_ISSUER and not settings.OIDC_ISSUER.startswith("https://") and not is_near:
        return [Error("OIDC_ISSUER is not https.", hint="Use its https:// address.", id="heygen_portal.E004")]
    return []


@register(Tags.compatibility)
def readable_budgets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A budget that cannot be read would refuse at the first request."""
    return [
        Error(
            f"BUDGETS: {name} is no budget, or its rate cannot be read.",
            hint='Write BUDGETS="task.session=300/minute"; heygen_portal/budgets.py lists the names.',
            id="heygen_portal.E010",
        )
        for name in budgets.unreadable()
    ]


@register(Tags.security, deploy=True)
def not_in_debug(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Debug pages show settings and speech to strangers."""
    if settings.DEBUG:
        return [CheckWarning("DEBUG is on.", hint="Unset DEBUG.", id="heygen_portal.W001")]
    return []


@register(Tags.security)
def rules_on_privacy(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A log must be kept long enough to slow attackers down, and a link must lead to a page."""
    found: list[CheckMessage] = []
    if settings.SIGN_IN_LOG_DAYS < 1:
        hint = "Set it to at least 1: failed attempts are counted in the same log."
        found.append(Error("SIGN_IN_LOG_DAYS is below one day.", hint=hint, id="heygen_portal.E020"))
    if settings.PRIVACY_NOTICE_URL and not settings.PRIVACY_NOTICE_URL.startswith(("https://", "http://")):
        hint = "Give the page's whole address, with https://."
        found.append(Error("PRIVACY_NOTICE_URL is no web address.", hint=hint, id="heygen_portal.E021"))
    return found


@register(Tags.compatibility)
def known_way_to_send_files(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """With a header that no proxy understands, browsers would get empty files."""
    if settings.SEND_FILES_WITH not in sending.WAYS:
        return [
            Error(
                f"SEND_FILES_WITH is {settings.SEND_FILES_WITH!r}.",
                hint=f"Set it to {sending.ACCEL} or {sending.SENDFILE}, or leave it unset.",
                id="heygen_portal.E030",
            )
        ]
    return []
