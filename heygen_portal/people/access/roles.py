"""Roles and their permissions.

Access is checked against this table (`role_backend`). `manage.py sync_roles` copies it into Django's groups, so that
Django's own tools show the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.models import Permission as StoredPermission
from django.core.management.color import no_style
from django.db import connection, transaction
from django.utils.translation import gettext_noop

from heygen_portal.models import DEFAULT_ORGANISATION, Membership, Organisation
from heygen_portal.permissions import Permission
from heygen_portal.trail import audit_log, statements
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.user_rows import GROUP


@dataclass(frozen=True)
class Role:
    """A group and its members' permissions.

    It is stored by its English name and translated when shown.
    """

    group: str
    is_staff: bool
    permissions: tuple[str, ...]


START_SESSION = Permission.START_SESSION
START_SESSIONS = (START_SESSION,)
SEE_VIDEOS = Permission.VIEW_VIDEO
SEE_CATALOGUE = (
    Permission.VIEW_AVATAR,
    Permission.VIEW_VOICE,
    Permission.VIEW_KNOWLEDGE,
    Permission.VIEW_LIBRARY,
    Permission.VIEW_PERSONA,
    SEE_VIDEOS,
)
CREATE_VIDEOS = (Permission.ADD_VIDEO,)
TRY_PERSONA = Permission.CHANGE_PERSONA
EDIT_PERSONAS = (
    Permission.ADD_PERSONA,
    TRY_PERSONA,
    Permission.DELETE_PERSONA,
    Permission.PUBLISH_PERSONA,
)
EDIT_KNOWLEDGE = (
    Permission.ADD_KNOWLEDGE,
    Permission.CHANGE_KNOWLEDGE,
    Permission.ADD_LIBRARY,
    Permission.CHANGE_LIBRARY,
)
SEE_SESSIONS = (Permission.VIEW_SESSION, Permission.VIEW_EVENT)
SEE_COSTS = (Permission.VIEW_COSTS,)
SEE_QUEUE = (Permission.VIEW_QUEUE,)
STOP_SESSIONS = (Permission.STOP_SESSION,)
SEE_HEALTH = (Permission.VIEW_INCIDENT,)
OBSERVE_SESSION = Permission.OBSERVE_SESSION
OBSERVE_SESSIONS = (OBSERVE_SESSION,)
ANSWER_MESSAGES = (Permission.VIEW_MESSAGE, Permission.CHANGE_MESSAGE)
SEE_RETENTION = (Permission.VIEW_ERASURE, Permission.VIEW_LEGAL_HOLD)
SET_LEGAL_HOLDS = (Permission.ADD_LEGAL_HOLD, Permission.CHANGE_LEGAL_HOLD)
ERASE_SPEECH = (Permission.ADD_ERASURE,)
SEE_CHECKS = (Permission.VIEW_INTEGRITY_CHECK,)
READ_TRANSCRIPTS = (Permission.VIEW_TASK, Permission.VIEW_TRANSCRIPT)
SEE_AUDIT = (Permission.VIEW_AUDIT_LOG,)
EXPORT_SESSION = Permission.ADD_EXPORT
EXPORT_SESSIONS = (EXPORT_SESSION, Permission.VIEW_EXPORT)
MANAGE_ACCOUNTS = (
    Permission.VIEW_ACCOUNT,
    Permission.ADD_ACCOUNT,
    Permission.CHANGE_ACCOUNT,
)
MANAGE_MODEL_SERVICES = (
    Permission.VIEW_MODEL_SERVICE,
    Permission.ADD_MODEL_SERVICE,
    Permission.CHANGE_MODEL_SERVICE,
)
MANAGE_TOOLS = (Permission.VIEW_TOOL, Permission.ADD_TOOL, Permission.CHANGE_TOOL)
MANAGE_USERS = (
    Permission.VIEW_USER,
    Permission.ADD_USER,
    Permission.CHANGE_USER,
    Permission.VIEW_ROLE,
    Permission.VIEW_INVITATION,
    Permission.ADD_INVITATION,
    Permission.CHANGE_INVITATION,
)
MANAGE_API_KEYS = (Permission.VIEW_API_KEY, Permission.ADD_API_KEY, Permission.CHANGE_API_KEY)
MANAGE_ORGANISATION = (Permission.VIEW_ORGANISATION, Permission.CHANGE_ORGANISATION)
MANAGE_WEBHOOKS = (
    Permission.VIEW_WEBHOOK,
    Permission.ADD_WEBHOOK,
    Permission.CHANGE_WEBHOOK,
    Permission.DELETE_WEBHOOK,
)
MANAGE_QUOTAS = (
    Permission.VIEW_QUOTA,
    Permission.ADD_QUOTA,
    Permission.CHANGE_QUOTA,
    Permission.DELETE_QUOTA,
)

END_USER = Role(gettext_noop("End users"), False, START_SESSIONS)
EDITOR = Role(
    gettext_noop("Editors"), True, START_SESSIONS + SEE_CATALOGUE + EDIT_PERSONAS + EDIT_KNOWLEDGE + CREATE_VIDEOS
)
OPERATOR = Role(
    gettext_noop("Operators"),
    True,
    START_SESSIONS
    + SEE_CATALOGUE
    + SEE_SESSIONS
    + SEE_COSTS
    + SEE_QUEUE
    + STOP_SESSIONS
    + OBSERVE_SESSIONS
    + ANSWER_MESSAGES
    + SEE_HEALTH,
)
AUDITOR = Role(
    gettext_noop("Auditors"),
    True,
    SEE_CATALOGUE
    + SEE_SESSIONS
    + SEE_COSTS
    + SEE_CHECKS
    + SEE_RETENTION
    + SET_LEGAL_HOLDS
    + READ_TRANSCRIPTS
    + SEE_AUDIT
    + EXPORT_SESSIONS,
)
ADMINISTRATOR = Role(
    gettext_noop("Administrators"),
    True,
    START_SESSIONS
    + SEE_CATALOGUE
    + EDIT_PERSONAS
    + EDIT_KNOWLEDGE
    + CREATE_VIDEOS
    + SEE_SESSIONS
    + SEE_COSTS
    + SEE_QUEUE
    + STOP_SESSIONS
    + OBSERVE_SESSIONS
    + ANSWER_MESSAGES
    + SEE_HEALTH
    + SEE_CHECKS
    + SEE_RETENTION
    + SET_LEGAL_HOLDS
    + ERASE_SPEECH
    + READ_TRANSCRIPTS
    + SEE_AUDIT
    + EXPORT_SESSIONS
    + MANAGE_ACCOUNTS
    + MANAGE_MODEL_SERVICES
    + MANAGE_TOOLS
    + MANAGE_USERS
    + MANAGE_QUOTAS
    + MANAGE_API_KEYS
    + MANAGE_ORGANISATION
    + MANAGE_WEBHOOKS,
)

ROLES = (END_USER, EDITOR, OPERATOR, AUDITOR, ADMINISTRATOR)
STAFF_GROUPS = frozenset(role.group for role in ROLES if role.is_staff)


def permissions_of(groups: Iterable[str]) -> set[str]:
    """Return the permissions that the roles among these groups grant."""
    names = set(groups)
    return {str(permission) for role in ROLES if role.group in names for permission in role.permissions}


def groups_with(permission: str) -> tuple[str, ...]:
    """Return the names of the roles that grant a permission."""
    return tuple(role.group for role in ROLES if permission in role.permissions)


def sync() -> None:
    """Set the groups' permissions from ROLES.

    Idempotent. Other groups are not touched.
    """
    stored = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in StoredPermission.objects.select_related("content_type")
    }
    new: list[Group] = []
    with transaction.atomic():
        for role in ROLES:
            group, is_new = Group.objects.get_or_create(name=role.group)
            new += [group] if is_new else []
            # A database migrated to an older version lacks newer permissions.
            group.permissions.set([stored[name] for name in role.permissions if name in stored])
        _state_new(new)


def _state_new(groups: list[Group]) -> None:
    """State the groups of new roles in the audit log.

    In a new portal the log is still empty, and the first nightly check states them.
    """
    if not groups or AuditEntry._meta.db_table not in connection.introspection.table_names():
        return
    if AuditEntry.objects.exists():
        stated = statements.merged(*(statements.state(GROUP, group) for group in groups))
        audit_log.record_by(None, None, AuditEntry.Kind.RECORD_UPGRADED, len(groups), **stated)


def ensure_organisation() -> None:
    """Create the default organisation if missing, and enrol staff.

    It is missing after a flush. Staff with a membership keep it.
    """
    if Organisation._meta.db_table not in connection.introspection.table_names():
        return  # migrated to an older version
    if not Organisation.objects.exists():
        Organisation.objects.create(pk=DEFAULT_ORGANISATION, name="Organisation")
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), [Organisation]):
                cursor.execute(statement)
    for user in User.objects.filter(is_staff=True, membership=None):
        enrol(user)


def enrol(user: User) -> None:
    """Make a staff user a member of the organisation.

    Idempotent. Ignores other users.
    """
    if user.is_staff:
        Membership.objects.get_or_create(user=user)


def sync_after_migrating(**kwargs: Any) -> None:
    ensure_organisation()
    sync()
