"""Which scopes open each operation of the REST API, and which roles may have the scopes.

A new operation or scope must be added here, or test_api_matrix.py fails. Letters are those of matrix.py.
"""

from __future__ import annotations

from heygen_portal.people.api_keys.scopes import Scope
from tests.access.matrix import MAY_TALK, STAFF

# The roles that have all permissions of a scope.
ROLES: dict[Scope, str] = {
    Scope.PERSONAS_READ: MAY_TALK,
    Scope.SESSIONS_START: MAY_TALK,
    Scope.SESSIONS_READ: MAY_TALK,
    Scope.SESSIONS_TRANSCRIPT: MAY_TALK,
    Scope.RECORDS_READ: "oam",
    Scope.RECORDS_EXPORT: "am",
    Scope.SESSIONS_STOP: "om",
    Scope.TRANSCRIPTS_READ: "am",
    Scope.COSTS_READ: "oam",
    Scope.QUOTAS_READ: "m",
    Scope.QUOTAS_WRITE: "m",
    Scope.USERS_READ: "m",
    Scope.USERS_INVITE: "m",
    Scope.KNOWLEDGE_READ: STAFF,
    Scope.KNOWLEDGE_WRITE: "em",
    Scope.VIDEOS_READ: STAFF,
    Scope.VIDEOS_ORDER: "em",
}
# By the name of the operation: its method, and the scopes of which any suffices.
OPERATIONS: dict[str, tuple[str, str]] = {
    "list_personas": ("GET", "personas:read"),
    "get_persona": ("GET", "personas:read"),
    "get_notice": ("GET", "personas:read"),
    "create_session": ("POST", "sessions:start"),
    "start_session": ("POST", "sessions:start"),
    "send_text": ("POST", "sessions:start"),
    "interrupt_avatar": ("POST", "sessions:start"),
    "keep_session_alive": ("POST", "sessions:start"),
    "stay_in_session": ("POST", "sessions:start"),
    "renew_room_access": ("POST", "sessions:start"),
    "stop_session": ("POST", "sessions:start sessions:stop"),
    "list_sessions": ("GET", "sessions:read records:read"),
    "get_session": ("GET", "sessions:read records:read"),
    "list_conversations": ("GET", "sessions:read"),
    "get_conversation": ("GET", "sessions:read"),
    "get_transcript": ("GET", "sessions:transcript"),
    "open_transcript": ("POST", "transcripts:read"),
    "list_events": ("GET", "records:read"),
    "get_costs": ("GET", "costs:read"),
    "get_session_cost": ("GET", "costs:read"),
    "get_own_quota": ("GET", "sessions:read"),
    "list_quotas": ("GET", "quotas:read"),
    "create_quota": ("POST", "quotas:write"),
    "change_quota": ("PUT", "quotas:write"),
    "delete_quota": ("DELETE", "quotas:write"),
    "create_export": ("POST", "records:export"),
    "get_export": ("GET", "records:export"),
    "get_export_file": ("GET", "records:export"),
    "list_users": ("GET", "users:read"),
    "get_user": ("GET", "users:read"),
    "list_invitations": ("GET", "users:read"),
    "invite_user": ("POST", "users:invite"),
    "withdraw_invitation": ("POST", "users:invite"),
    "list_knowledge_bases": ("GET", "knowledge:read"),
    "get_knowledge_base": ("GET", "knowledge:read"),
    "change_knowledge_base": ("PUT", "knowledge:write"),
    "list_videos": ("GET", "videos:read"),
    "order_video": ("POST", "videos:order"),
    "get_video": ("GET", "videos:read"),
    "fetch_video": ("POST", "videos:read"),
    "get_video_file": ("GET", "videos:read"),
}
