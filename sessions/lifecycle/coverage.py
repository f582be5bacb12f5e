"""Tables whose rows the chained record covers.

`heygen_portal.trail.statements` says how.
"""

from __future__ import annotations

from avatars.models.stated import (
    ACCOUNT,
    AVATAR,
    DOCUMENT,
    DOCUMENT_VERSION,
    HTTP_TOOL,
    HTTP_TOOL_VERSION,
    KNOWLEDGE_BASE,
    KNOWLEDGE_VERSION,
    LIBRARY,
    MODEL_SERVICE,
    PERSONA,
    PERSONA_GROUP,
    PERSONA_VERSION,
    VIDEO,
    VOICE,
    WRITTEN_ANSWER,
)
from heygen_portal.models.api_keys import API_KEY
from heygen_portal.models.organisation import ORGANISATION
from heygen_portal.trail.statements import NOT_SHOWN, Progress, Table
from heygen_portal.trail.user_rows import GROUP, ROLE, USER, USER_PERMISSION
from sessions.models import (
    Answer,
    Consent,
    Conversation,
    Erasure,
    Export,
    GuestLink,
    HistoryCheck,
    LegalHold,
    PersonaEmbed,
    ProviderErasure,
    Quota,
    SessionTask,
    SessionTotal,
    StreamingSession,
    Utterance,
)

SEAL = "seal"  # the table name under which an event states that it is sealed
# The table name under which a session's first event states that each activity leaves an event or a text.
ACTIVITY = "activity"
# Record formats from which on a session's record states every row shown of it, and its conversation.
FORMAT_WITH_ALL_ROWS = 2
FORMAT_WITH_CONVERSATION = 3
FORMAT = FORMAT_WITH_CONVERSATION  # the newest, used for new sessions


SESSION = Table(
    "session",
    StreamingSession,
    "pk",
    is_single=True,
    since=FORMAT_WITH_ALL_ROWS,
    uncovered={
        "deadline_at": "when the worker looks next: compared with the session's limits",
        "record_due_at": "when the worker reads the provider's record: compared with the events that tell of it",
        "booked_at": "when the worker added it to the totals: compared with the totals",
    },
    late=frozenset({"active_at", "abandoned_at", "stop_attempts", "stop_trouble"}),
)
# Belongs to its first session, which has the same ID.
CONVERSATION = Table(
    "conversation",
    Conversation,
    "pk",
    is_single=True,
    derived={"ended_at": "sessions_ended_at"},
    since=FORMAT_WITH_CONVERSATION,
)
TASK = Table("task", SessionTask, since=FORMAT_WITH_ALL_ROWS)
LINE = Table(
    "line",
    Utterance,
    since=FORMAT_WITH_ALL_ROWS,
    uncovered={"words_signature": "changes with the portal's key: compared with the word index"},
)
ANSWER = Table(
    "answer",
    Answer,
    since=FORMAT_WITH_ALL_ROWS,
    uncovered={"deadline_at": f"{NOT_SHOWN}: when the worker closes it"},
)
TOTAL = Table("total", SessionTotal, since=FORMAT_WITH_ALL_ROWS, is_single=True)
CONSENT = Table("consent", Consent, since=FORMAT_WITH_ALL_ROWS, is_single=True)
HOLD = Table("hold", LegalHold, since=FORMAT_WITH_ALL_ROWS)
ERASURE = Table("erasure", Erasure, since=FORMAT_WITH_ALL_ROWS)
PROVIDER_ERASURE = Table(
    "provider_erasure",
    ProviderErasure,
    "erasure__session_id",
    since=FORMAT_WITH_ALL_ROWS,
    uncovered={"due_at": f"{NOT_SHOWN}: when the worker asks next"},
)
EXPORT = Table(
    "export",
    Export,
    since=FORMAT_WITH_ALL_ROWS,
    uncovered={
        "last_key": f"{NOT_SHOWN}: where the worker writes on",
        "touched_at": f"{NOT_SHOWN}: when the worker wrote last",
    },
    progress=Progress(
        frozenset({"state", "rows_total", "rows_done", "written", "expires_at"}),
        "state",
        frozenset({Export.State.WAITING, Export.State.WRITING}),
    ),
)
# Tables whose rows belong to a session.
SESSION_TABLES = (CONVERSATION, TASK, LINE, ANSWER, TOTAL, CONSENT, HOLD, ERASURE, PROVIDER_ERASURE, EXPORT)
TABLES = {table.name: table for table in (SESSION, *SESSION_TABLES)}

CHECK = Table("check", HistoryCheck, "pk")
# Tables with rows that belong to no session. Audit entries state them.
QUOTA = Table("quota", Quota, "pk")
# Who may talk without an account.
EMBED = Table(
    "persona_embed",
    PersonaEmbed,
    "pk",
    uncovered={"seen_origin": "changes with visits", "seen_at": "changes with visits"},
)
GUEST_LINK = Table(
    "guest_link",
    GuestLink,
    "pk",
    uncovered={"uses": "changes with each conversation, whose first event names the link"},
)
LIBRARIES = (LIBRARY, DOCUMENT, DOCUMENT_VERSION, WRITTEN_ANSWER)
HTTP_TOOLS = (HTTP_TOOL, HTTP_TOOL_VERSION)
ACCESS = (ROLE, USER_PERMISSION, PERSONA_GROUP, QUOTA, ORGANISATION)
NAMED = (
    USER,
    ACCOUNT,
    AVATAR,
    VOICE,
    KNOWLEDGE_BASE,
    KNOWLEDGE_VERSION,
    PERSONA,
    PERSONA_VERSION,
    *ACCESS,
    GROUP,
    VIDEO,
    API_KEY,
    EMBED,
    GUEST_LINK,
    *LIBRARIES,
    MODEL_SERVICE,
    *HTTP_TOOLS,
)
AUDITED = {table.name: table for table in (EXPORT, CHECK, *NAMED)}
# Formats of the audit log from which on it states every row of these tables.
AUDIT_FORMAT_WITH_NAMED = 2
AUDIT_FORMAT_WITH_ACCESS = 3
AUDIT_FORMAT_WITH_VIDEOS = 4  # and groups
AUDIT_FORMAT_WITH_MEANINGS = 5  # what individual permissions allow
AUDIT_FORMAT_WITH_API_KEYS = 6
AUDIT_FORMAT_WITH_NOTICE = 7  # the columns of the notice that users accept, of organisation and personas
AUDIT_FORMAT_WITH_EMBEDS = 8  # and links for guests
AUDIT_FORMAT_WITH_BRAND = 9  # the organisation's columns of its brand
AUDIT_FORMAT_WITH_LIBRARIES = 10  # documents and written answers
AUDIT_FORMAT_WITH_BRAIN = 11  # the columns of personas with the organisation's own model
AUDIT_FORMAT_WITH_MODEL_SERVICES = 12
AUDIT_FORMAT_WITH_CHOSEN_MODEL = 13  # the model service and library of personas
AUDIT_FORMAT_WITH_STARTERS = 14  # the suggested questions and token limits of personas
AUDIT_FORMAT_WITH_TOOLS = 15  # the tools and moderation of personas
AUDIT_FORMAT_WITH_HTTP_TOOLS = 16  # tools of the organisation's own
AUDIT_FORMAT = AUDIT_FORMAT_WITH_HTTP_TOOLS
AUDITED_SINCE = {
    **{table.name: 1 for table in (EXPORT, CHECK)},
    **{table.name: AUDIT_FORMAT_WITH_NAMED for table in NAMED},
    **{table.name: AUDIT_FORMAT_WITH_ACCESS for table in ACCESS},
    **{table.name: AUDIT_FORMAT_WITH_VIDEOS for table in (GROUP, VIDEO)},
    API_KEY.name: AUDIT_FORMAT_WITH_API_KEYS,
    **{table.name: AUDIT_FORMAT_WITH_EMBEDS for table in (EMBED, GUEST_LINK)},
    **{table.name: AUDIT_FORMAT_WITH_LIBRARIES for table in LIBRARIES},
    MODEL_SERVICE.name: AUDIT_FORMAT_WITH_MODEL_SERVICES,
    **{table.name: AUDIT_FORMAT_WITH_HTTP_TOOLS for table in HTTP_TOOLS},
}
