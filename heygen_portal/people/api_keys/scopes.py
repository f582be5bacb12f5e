"""What an API key may be allowed to do, and the permissions that its owner needs for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from heygen_portal.permissions import Permission


class Scope(StrEnum):
    """Scopes of API keys. Stored and published: a released value never changes."""

    PERSONAS_READ = "personas:read"
    PERSONAS_PUBLISH = "personas:publish"
    TESTS_READ = "tests:read"
    TESTS_WRITE = "tests:write"
    SESSIONS_START = "sessions:start"
    SESSIONS_READ = "sessions:read"
    SESSIONS_TRANSCRIPT = "sessions:transcript"
    RECORDS_READ = "records:read"
    RECORDS_EXPORT = "records:export"
    SESSIONS_STOP = "sessions:stop"
    TRANSCRIPTS_READ = "transcripts:read"
    COSTS_READ = "costs:read"
    QUOTAS_READ = "quotas:read"
    QUOTAS_WRITE = "quotas:write"
    USERS_READ = "users:read"
    USERS_INVITE = "users:invite"
    KNOWLEDGE_READ = "knowledge:read"
    KNOWLEDGE_WRITE = "knowledge:write"
    LIBRARIES_READ = "libraries:read"
    LIBRARIES_WRITE = "libraries:write"
    QUESTIONS_READ = "questions:read"
    VIDEOS_READ = "videos:read"
    VIDEOS_ORDER = "videos:order"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"


class Rule(NamedTuple):
    """The permissions that the owner needs, all of them, and the scope in words."""

    permissions: tuple[Permission, ...]
    label: Promise


RULES: Mapping[Scope, Rule] = {
    Scope.PERSONAS_READ: Rule((Permission.START_SESSION,), _("List published personas")),
    Scope.PERSONAS_PUBLISH: Rule((Permission.PUBLISH_PERSONA,), _("Publish and unpublish personas")),
    Scope.TESTS_READ: Rule((Permission.VIEW_PERSONA,), _("Read tests of personas and their reports")),
    Scope.TESTS_WRITE: Rule(
        (Permission.CHANGE_PERSONA,), _("Change tests of personas and run them, which costs tokens")
    ),
    Scope.SESSIONS_START: Rule((Permission.START_SESSION,), _("Start conversations, send texts and stop them")),
    Scope.SESSIONS_READ: Rule(
        (Permission.START_SESSION,), _("State and times of the owner’s sessions, without transcripts")
    ),
    Scope.SESSIONS_TRANSCRIPT: Rule((Permission.START_SESSION,), _("Transcripts of the owner’s sessions")),
    Scope.RECORDS_READ: Rule(
        (Permission.VIEW_SESSION, Permission.VIEW_EVENT), _("State and events of all sessions, without transcripts")
    ),
    Scope.RECORDS_EXPORT: Rule((Permission.ADD_EXPORT, Permission.VIEW_EXPORT), _("Exports of sessions and events")),
    Scope.SESSIONS_STOP: Rule((Permission.STOP_SESSION,), _("Stop any session, with a reason")),
    Scope.TRANSCRIPTS_READ: Rule(
        (Permission.VIEW_TRANSCRIPT,), _("Transcripts of all sessions. Needs a reason, and each reading is recorded")
    ),
    Scope.COSTS_READ: Rule((Permission.VIEW_COSTS,), _("Costs by day, persona and account")),
    Scope.QUOTAS_READ: Rule((Permission.VIEW_QUOTA,), _("See quotas")),
    Scope.QUOTAS_WRITE: Rule(
        (Permission.ADD_QUOTA, Permission.CHANGE_QUOTA, Permission.DELETE_QUOTA), _("Set and delete quotas")
    ),
    Scope.USERS_READ: Rule((Permission.VIEW_USER, Permission.VIEW_INVITATION), _("See users and invitations")),
    Scope.USERS_INVITE: Rule(
        (Permission.ADD_INVITATION, Permission.CHANGE_INVITATION), _("Invite users and withdraw invitations")
    ),
    Scope.KNOWLEDGE_READ: Rule((Permission.VIEW_KNOWLEDGE,), _("Read knowledge bases")),
    Scope.KNOWLEDGE_WRITE: Rule((Permission.CHANGE_KNOWLEDGE,), _("Change knowledge bases")),
    Scope.LIBRARIES_READ: Rule((Permission.VIEW_LIBRARY,), _("Read documents and written answers")),
    Scope.LIBRARIES_WRITE: Rule(
        (Permission.ADD_LIBRARY, Permission.CHANGE_LIBRARY),
        _("Upload and withdraw documents, write answers, dismiss questions"),
    ),
    # What people asked is for those who answer it.
    Scope.QUESTIONS_READ: Rule((Permission.CHANGE_LIBRARY,), _("Read questions that found no answer")),
    Scope.VIDEOS_READ: Rule((Permission.VIEW_VIDEO,), _("See recorded videos")),
    Scope.VIDEOS_ORDER: Rule((Permission.ADD_VIDEO,), _("Order recorded videos, which costs credits")),
    Scope.WEBHOOKS_READ: Rule((Permission.VIEW_WEBHOOK,), _("See webhooks and what was sent to them")),
    Scope.WEBHOOKS_WRITE: Rule(
        (Permission.ADD_WEBHOOK, Permission.CHANGE_WEBHOOK, Permission.DELETE_WEBHOOK),
        _("Set up and delete webhooks, replace their secrets, send again"),
    ),
}

_BY_NAME: Mapping[str, Scope] = {scope.value: scope for scope in Scope}


def parse(stored: str) -> frozenset[Scope]:
    """Return the scopes of a key. Unknown ones, of another version or written by SQL, grant nothing."""
    return frozenset(_BY_NAME[name] for name in stored.split() if name in _BY_NAME)


def as_stored(scopes: Iterable[Scope]) -> str:
    """Return scopes as they are stored, in the order of the enum."""
    chosen = set(scopes)
    return " ".join(scope for scope in Scope if scope in chosen)


def permissions_of(scopes: Iterable[Scope]) -> list[str]:
    """Return the permissions that these scopes need."""
    return sorted({str(permission) for scope in scopes for permission in RULES[scope].permissions})


def held(scopes: Iterable[Scope], permissions: Mapping[str, bool]) -> frozenset[Scope]:
    """Return the scopes for which the owner has every permission."""
    return frozenset(scope for scope in scopes if all(permissions.get(name) for name in RULES[scope].permissions))
