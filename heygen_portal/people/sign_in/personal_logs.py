"""Log rows about a person, found by user ID because a name may have belonged to someone else."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db.models import Q, QuerySet

from heygen_portal.models import Invitation, SignIn
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry

Kind = AuditEntry.Kind
KINDS_ABOUT_PEOPLE = (
    Kind.ACCESS_CHANGED, Kind.PASSWORD_SET, Kind.JOINED, Kind.SECOND_FACTOR_ON, Kind.SECOND_FACTOR_OFF,
    Kind.ALLOWANCE_CHANGED,
)  # fmt: skip
"""Kinds whose older entries name a person without an ID. Accounts and personas may share that name."""
INVITATION_KINDS = (Kind.INVITED, Kind.INVITATION_REVOKED)
MAX_ENTRY_DELAY = timedelta(minutes=1)
"""Between an event of an invitation and its audit entry."""


def sign_ins_of(user: User) -> tuple[QuerySet[SignIn], ...]:
    """Return a user's failed and successful sign-ins, as two querysets."""
    rows = SignIn.objects.filter(user=user)
    return rows.exclude(failed=None).select_related("failed"), rows.exclude(succeeded=None).select_related("succeeded")


def audit_entries_of(user: User) -> QuerySet[AuditEntry]:
    """Return audit entries by a user and entries about them."""
    return AuditEntry.objects.filter(
        Q(by=user) | Q(**{f"data__{audit_log.USER_KEY}": user.pk}) | _about_invitations(user) | _about_name(user)
    )


def admin_log_about(user: User) -> QuerySet[LogEntry]:
    """Return changes that staff made to a user in the admin."""
    return _admin_log(user).exclude(user=user)


def belongs_only_to(email: str, user: User) -> bool:
    """Whether no other user has or is known to have had an address."""
    if not email or User.objects.filter(email__iexact=email).exclude(pk=user.pk).exists():
        return False
    return not Invitation.objects.filter(email__iexact=email).exclude(used_by=None).exclude(used_by=user).exists()


def _admin_log(user: User) -> QuerySet[LogEntry]:
    return LogEntry.objects.filter(content_type__app_label="auth", content_type__model="user", object_id=str(user.pk))


def _about_invitations(user: User) -> Q:
    """Match entries about invitations that a user accepted. Older entries contain only the address."""
    rows = Q(pk=None)
    for invitation in Invitation.objects.filter(used_by=user):
        rows |= Q(**{f"data__{audit_log.INVITATION_KEY}": str(invitation.pk)})
        until = invitation.used_at or invitation.expires_at
        between = Q(at__range=(invitation.created_at, until + MAX_ENTRY_DELAY))
        rows |= (
            Q(kind__in=INVITATION_KINDS, about=invitation.email) & between & ~Q(data__has_key=audit_log.INVITATION_KEY)
        )
    return rows


def _about_name(user: User) -> Q:
    """Match entries without an ID that name this user, from when the name was theirs."""
    name, since = _name_before_ids(user)
    if Group.objects.filter(name=name).exists():
        return Q(pk=None)  # an entry about a quota would mean the role
    return Q(kind__in=KINDS_ABOUT_PEOPLE, about=name, at__gte=since) & ~Q(data__has_key=audit_log.USER_KEY)


def _name_before_ids(user: User) -> tuple[str, datetime]:
    """Return a user's name at the time when entries had no IDs, and since when they had it."""
    renamed = AuditEntry.objects.filter(
        kind=Kind.ACCESS_CHANGED, data__has_key="username", **{f"data__{audit_log.USER_KEY}": user.pk}
    )
    first = renamed.order_by("number").first()
    earlier = _admin_log(user).filter(change_message__contains='"Username"')
    if first:
        earlier = earlier.filter(action_time__lt=first.at)
    last = earlier.order_by("-action_time").first()
    name = first.data["username"][0] if first else user.get_username()
    return str(name), max(user.date_joined, last.action_time) if last else user.date_joined
