"""Admin pages of the sessions. Each module registers its own."""

from sessions.admin import (
    accounts,
    costs,
    embeds,
    exports,
    incidents,
    limits,
    messages,
    people,
    record,
    search,
    streaming_sessions,
)

__all__ = [
    "accounts",
    "costs",
    "embeds",
    "exports",
    "incidents",
    "limits",
    "messages",
    "people",
    "record",
    "search",
    "streaming_sessions",
]
