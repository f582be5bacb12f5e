"""Tables of personas, accounts, catalogues and documents, stated in the audit log by row."""

from __future__ import annotations

from avatars.models.accounts import ProviderAccount
from avatars.models.catalogue import Avatar, KnowledgeBase, Voice
from avatars.models.documents import Document, DocumentVersion, Library, WrittenAnswer
from avatars.models.knowledge import KnowledgeVersion
from avatars.models.model_services import HttpTool, HttpToolVersion, ModelService
from avatars.models.personas import Persona, PersonaVersion
from avatars.models.videos import Video
from heygen_portal.trail.statements import NOT_SHOWN, Progress, Table

SEEN_AT_PROVIDER = "what the provider said last; each look replaces it"
LISTED = {
    "appeared_at": SEEN_AT_PROVIDER,
    "changed_at": SEEN_AT_PROVIDER,
    "last_seen_at": SEEN_AT_PROVIDER,
    "gone_at": SEEN_AT_PROVIDER,
}

ACCOUNT = Table(
    "account",
    ProviderAccount,
    "pk",
    uncovered={
        "api_key": f"{NOT_SHOWN}: encrypted",
        "unknown_sessions": SEEN_AT_PROVIDER,
        "slots_seen": SEEN_AT_PROVIDER,
        "slots_seen_at": SEEN_AT_PROVIDER,
        "credits_left": SEEN_AT_PROVIDER,
        "languages": SEEN_AT_PROVIDER,
        "synced_at": SEEN_AT_PROVIDER,
    },
)
MODEL_SERVICE = Table("model_service", ModelService, "pk", uncovered={"api_key": f"{NOT_SHOWN}: encrypted"})
HTTP_TOOL = Table("http_tool", HttpTool, "pk", uncovered={"secret_headers": f"{NOT_SHOWN}: encrypted"})
HTTP_TOOL_VERSION = Table(
    "http_tool_version", HttpToolVersion, "pk", uncovered={"secret_headers": f"{NOT_SHOWN}: encrypted"}
)
AVATAR = Table(
    "avatar",
    Avatar,
    "pk",
    uncovered={**LISTED, "preview": "the name of a file that each sync may replace", "preview_source": NOT_SHOWN},
)
VOICE = Table("voice", Voice, "pk", uncovered={**LISTED, "preview_url": f"{NOT_SHOWN}: where its sample is fetched"})
KNOWLEDGE_BASE = Table("knowledge_base", KnowledgeBase, "pk", uncovered=LISTED)
KNOWLEDGE_VERSION = Table("knowledge_version", KnowledgeVersion, "pk")
PERSONA = Table("persona", Persona, "pk")
# The groups that a persona is restricted to.
PERSONA_GROUP = Table("persona_group", Persona.groups.through, "pk")
PERSONA_VERSION = Table("persona_version", PersonaVersion, "pk")
VIDEO = Table(
    "video",
    Video,
    "pk",
    uncovered={
        "due_at": f"{NOT_SHOWN}: when the worker looks next",
        "since": f"{NOT_SHOWN}: for the worker's time-outs",
        "polls": f"{NOT_SHOWN}: for the worker's pauses",
    },
    progress=Progress(
        frozenset(
            {
                "status",
                "failure",
                "failure_detail",
                "orders",
                "provider_video_id",
                "duration",
                "credits",
                "url",
                "ready_at",
                "file",
            }
        ),
        "status",
        frozenset({Video.Status.WAITING, Video.Status.ORDERING, Video.Status.MAKING, Video.Status.FETCHING}),
    ),
)
LIBRARY = Table("library", Library, "pk")
DOCUMENT = Table("document", Document, "pk")
DOCUMENT_VERSION = Table(
    "document_version",
    DocumentVersion,
    "pk",
    uncovered={
        "file": f"{NOT_SHOWN}: the name of a file that is deleted once it was read",
        "moved_at": f"{NOT_SHOWN}: for the worker's time-outs",
    },
    progress=Progress(
        frozenset(
            {
                "state",
                "failure",
                "language",
                "pages",
                "unread",
                "chunk_count",
                "chunks_fingerprint",
                "from_version",
                "until_version",
            }
        ),
        "state",
        frozenset({DocumentVersion.State.WAITING, DocumentVersion.State.READING}),
    ),
)
WRITTEN_ANSWER = Table("written_answer", WrittenAnswer, "pk")
