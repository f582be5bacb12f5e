"""Settings that cannot work, said before they fail, with the cure."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning


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
            (2, "FIELD_ENCRYPTION_KEY", settings.SALT_KEY),
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


@register(Tags.security, deploy=True)
def not_in_debug(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Debug pages show settings and speech to strangers."""
    if settings.DEBUG:
        return [CheckWarning("DEBUG is on.", hint="Unset DEBUG.", id="heygen_portal.W001")]
    return []
