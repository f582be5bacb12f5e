"""Admin pages of the sessions. Each module registers its own."""

from sessions.admin import accounts, costs, exports, incidents, limits, people, record, search, streaming_sessions

__all__ = ["accounts", "costs", "exports", "incidents", "limits", "people", "record", "search", "streaming_sessions"]
