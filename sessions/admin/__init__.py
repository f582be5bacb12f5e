"""The admin of the sessions; each module registers its own pages."""

from sessions.admin import accounts, costs, exports, limits, people, record, search, streaming_sessions

__all__ = ["accounts", "costs", "exports", "limits", "people", "record", "search", "streaming_sessions"]
