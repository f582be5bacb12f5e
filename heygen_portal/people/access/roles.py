"""Who may do what: the one table of roles. Django's groups hold it, `sync_roles` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.core.management.color import no_style
from django.db import connection, transaction
from django.utils.translation import gettext_noop

from heygen_portal.trail.models import DEFAULT_ORGANISATION, Membership, Organisation


@dataclass(frozen=True)
class Role:
    """A group's name (English in the database, translated where it is shown) and what its members may do."""

    group: str
    is_staff: bool
    permissions: tuple[str, ...]


START = "avatar_sessions.start_streamingsession"
TALK = (START,)
SEE_VIDEOS = "avatars.view_video"
SEE_CATALOGUE = (
    "avatars.view_avatar",
    "avatars.view_voice",
    "avatars.view_knowledgebase",
    "avatars.view_persona",
    SEE_VIDEOS,
)
MAKE_VIDEOS = ("avatars.add_video",)
TRY = "avatars.change_persona"
MAKE_PERSONAS = (
    "avatars.add_persona",
    TRY,
    "avatars.delete_persona",
    "avatars.publish_persona",
)
KEEP_KNOWLEDGE = ("avatars.add_knowledgebase", "avatars.change_knowledgebase")
SEE_SESSIONS = ("avatar_sessions.view_streamingsession", "avatar_sessions.view_sessionevent")
SEE_COSTS = ("avatar_sessions.view_sessiontotal",)
SEE_LINE = ("avatar_sessions.view_queueplace",)
STOP_SESSIONS = ("avatar_sessions.stop_streamingsession",)
OBSERVE = "avatar_sessions.observe_streamingsession"
OBSERVE_SESSIONS = (OBSERVE,)
SEE_KEEPING = ("avatar_sessions.view_erasure", "avatar_sessions.view_legalhold")
KEEP_SPEECH = ("avatar_sessions.add_legalhold", "avatar_sessions.change_legalhold")
ERASE = ("avatar_sessions.add_erasure",)
SEE_CHECKS = ("avatar_sessions.view_historycheck",)
READ_TRANSCRIPTS = ("avatar_sessions.view_sessiontask", "avatar_sessions.view_utterance")
SEE_AUDIT = ("heygen_portal.view_auditentry",)
EXPORT = "avatar_sessions.add_export"
EXPORT_SESSIONS = (EXPORT, "avatar_sessions.view_export")
KEEP_ACCOUNTS = (
    "avatars.view_provideraccount",
    "avatars.add_provideraccount",
    "avatars.change_provideraccount",
)
KEEP_USERS = (
    "auth.view_user",
    "auth.add_user",
    "auth.change_user",
    "auth.view_group",
    "heygen_portal.view_invitation",
    "heygen_portal.add_invitation",
    "heygen_portal.change_invitation",
)
KEEP_ORGANISATION = ("heygen_portal.view_organisation", "heygen_portal.change_organisation")
KEEP_ALLOWANCES = (
    "avatar_sessions.view_allowance",
    "avatar_sessions.add_allowance",
    "avatar_sessions.change_allowance",
    "avatar_sessions.delete_allowance",
)

END_USER = Role(gettext_noop("End users"), False, TALK)
EDITOR = Role(gettext_noop("Editors"), True, TALK + SEE_CATALOGUE + MAKE_PERSONAS + KEEP_KNOWLEDGE + MAKE_VIDEOS)
OPERATOR = Role(
    gettext_noop("Operators"),
    True,
    TALK + SEE_CATALOGUE + SEE_SESSIONS + SEE_COSTS + SEE_LINE + STOP_SESSIONS + OBSERVE_SESSIONS,
)
AUDITOR = Role(
    gettext_noop("Auditors"),
    True,
    SEE_CATALOGUE
    + SEE_SESSIONS
    + SEE_COSTS
    + SEE_CHECKS
    + SEE_KEEPING
    + KEEP_SPEECH
    + READ_TRANSCRIPTS
    + SEE_AUDIT
    + EXPORT_SESSIONS,
)
ADMINISTRATOR = Role(
    gettext_noop("Administrators"),
    True,
    TALK
    + SEE_CATALOGUE
    + MAKE_PERSONAS
    + KEEP_KNOWLEDGE
    + MAKE_VIDEOS
    + SEE_SESSIONS
    + SEE_COSTS
    + SEE_LINE
    + STOP_SESSIONS
    + OBSERVE_SESSIONS
    + SEE_CHECKS
    + SEE_KEEPING
    + KEEP_SPEECH
    + ERASE
    + READ_TRANSCRIPTS
    + SEE_AUDIT
    + EXPORT_SESSIONS
    + KEEP_ACCOUNTS
    + KEEP_USERS
    + KEEP_ALLOWANCES
    + KEEP_ORGANISATION,
)

ROLES = (END_USER, EDITOR, OPERATOR, AUDITOR, ADMINISTRATOR)
STAFF_GROUPS = frozenset(role.group for role in ROLES if role.is_staff)


def sync() -> None:
    """Make the groups what the table says; safe to repeat. Groups that are not in the table are left alone."""
    there = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    with transaction.atomic():
        for role in ROLES:
            group, _ = Group.objects.get_or_create(name=role.group)
            # A database that is migrated no further than to some older point lacks the newer ones.
            group.permissions.set([there[name] for name in role.permissions if name in there])


def ensure_organisation() -> None:
    """Create the default organisation in a database that was emptied, and enrol staff who have none."""
    if Organisation._meta.db_table not in connection.introspection.table_names():
        return  # migrated no further than to some older point
    if not Organisation.objects.exists():
        Organisation.objects.create(pk=DEFAULT_ORGANISATION, name="Organisation")
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), [Organisation]):
                cursor.execute(statement)
    for user in User.objects.filter(is_staff=True, membership=None):
        enrol(user)


def enrol(user: User) -> None:
    """Make a member of staff a member of the organisation. Safe to repeat; other users need no membership."""
    if user.is_staff:
        Membership.objects.get_or_create(user=user)


def sync_after_migrating(**kwargs: Any) -> None:
    ensure_organisation()
    sync()
