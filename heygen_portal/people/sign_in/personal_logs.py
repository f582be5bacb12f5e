"""Log rows about a person, found by user ID.

A name may have belonged to another person.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from allauth.account.models import EmailAddress
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Field, Q, QuerySet

from heygen_portal.models import Invitation, SignIn
from heygen_portal.trail import audit_log, user_rows
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.statements import ROWS

Kind = AuditEntry.Kind
KINDS_ABOUT_PEOPLE = (
    Kind.ACCESS_CHANGED, Kind.PASSWORD_SET, Kind.JOINED, Kind.SECOND_FACTOR_ON, Kind.SECOND_FACTOR_OFF,
    Kind.QUOTA_CHANGED,
)  # fmt: skip
"""Kinds whose older entries name a person without an ID. Accounts and personas may share that name."""
NAMING_PEOPLE = frozenset({*KINDS_ABOUT_PEOPLE, Kind.INVITED, Kind.INVITATION_REVOKED, Kind.PERSONAL_DATA,
                          Kind.SESSIONS_STOPPED, Kind.ACCOUNT_CLOSED})  # fmt: skip
"""Kinds whose entries name people, by what they are about or in their data."""
FULL_NAME = ("first_name", "last_name")
"""Keys of entries about a changed user, with the values before and after."""
MAX_ABOUT_CHARACTERS = 200
"""Letters of `about`; a list of names that is longer was cut off."""
ENTRIES_PER_PAGE = 500
INVITATION_KINDS = (Kind.INVITED, Kind.INVITATION_REVOKED)
MAX_ENTRY_DELAY = timedelta(minutes=1)
"""Between an event of an invitation and its audit entry."""


def sign_ins_of(user: User) -> tuple[QuerySet[SignIn], ...]:
    """Return a user's failed and successful sign-ins, as two querysets."""
    rows = SignIn.objects.filter(user=user)
    return rows.exclude(failed=None).select_related("failed"), rows.exclude(succeeded=None).select_related("succeeded")


def delete_sign_ins(user: User, names: Collection[str]) -> None:
    """Delete a person's rows of the sign-in log.

    Attempts at their names are included, unless they are known to be another's.
    """
    others = SignIn.objects.exclude(user=user)
    for log, column in ((AccessLog, "succeeded"), (AccessAttempt, "failed"), (AccessFailureLog, None)):
        typed = Q(pk=None)
        for name in names:
            typed |= Q(username__iexact=name)
        rows = log._default_manager.filter(typed)
        if column:
            rows = rows.exclude(pk__in=others.exclude(**{column: None}).values(column))
            own = SignIn.objects.filter(user=user).exclude(**{column: None}).values_list(column, flat=True)
            log._default_manager.filter(pk__in=list(own)).delete()
        rows.delete()


def rename_in_admin_log(user: User, names: Collection[str]) -> None:
    """Replace `names` with the person's current name in the administration's log.

    Rows about users are found by ID only.
    """
    label = user.get_username()
    _admin_log(user).update(object_repr=label)
    naming = [model for model in apps.get_models() if any(_is_user(field) for field in model._meta.concrete_fields)]
    types = [content_type.pk for content_type in ContentType.objects.get_for_models(*naming).values()]
    for name in names:
        LogEntry.objects.filter(content_type__in=types, object_repr__iexact=name).update(object_repr=label)


def _is_user(field: Field[Any, Any]) -> bool:
    return field.is_relation and field.related_model is User


def rename_in_audit_log(user: User, names: Collection[str]) -> dict[str, str]:
    """Replace a person's earlier names in the audit log; return data that states it.

    `names` are those of `names_of`. Words that staff typed stay, but for addresses.
    """
    ever = {name.casefold() for name in names}
    label = user.get_username()
    about = Q(kind=Kind.SESSIONS_STOPPED)
    for name in ever:
        about |= Q(kind__in=(*KINDS_ABOUT_PEOPLE, *INVITATION_KINDS, Kind.PERSONAL_DATA), about__iexact=name)
    about |= Q(pk__in=audit_entries_of(user).values("pk"))
    found = AuditEntry.objects.filter(Q(about, kind__in=NAMING_PEOPLE) | user_rows.stating(user.pk))
    addresses = [re.escape(name) for name in ever if "@" in name]
    mail = re.compile(rf"(?<![\w.+-])(?:{'|'.join(addresses)})(?![\w-])", re.IGNORECASE) if addresses else None

    def renamed(value: Any) -> Any:
        match value:
            case str():
                return label if value.casefold() in ever else mail.sub(label, value) if mail else value
            case list():
                return [renamed(each) for each in value]
            case dict():
                return {name: renamed(each) for name, each in value.items()}
        return value

    def replaced(entry: AuditEntry) -> tuple[str, Any]:
        data = user_rows.without_names(entry.data, user.pk, label)
        if entry.kind not in NAMING_PEOPLE or data.get(audit_log.USER_KEY) not in (None, user.pk):
            return entry.about, data  # another person had the same name
        if data.get(audit_log.USER_KEY) == user.pk:
            data |= {name: [""] * len(data[name]) for name in FULL_NAME if isinstance(data.get(name), list)}
        people = entry.about.split(", ")
        if (
            len(entry.about) == MAX_ABOUT_CHARACTERS
            and people[-1]
            and any(name.startswith(people[-1].casefold()) for name in ever)
        ):
            people[-1] = label  # it was cut off
        data_now = {name: value if name == ROWS else renamed(value) for name, value in data.items()}
        return ", ".join(map(renamed, people))[:MAX_ABOUT_CHARACTERS], data_now

    return audit_log.rename(_in_pages(found), replaced)


def _in_pages(entries: QuerySet[AuditEntry]) -> Iterator[AuditEntry]:
    """Yield entries in order, with no cursor open while they are changed."""
    rows, last = entries.order_by("number"), 0
    while page := list(rows.filter(number__gt=last)[:ENTRIES_PER_PAGE]):
        yield from page
        last = page[-1].number


def names_of(user: User) -> set[str]:
    """Return all known names and addresses of a user, current and former."""
    addresses = EmailAddress.objects.filter(user=user).values_list("email", flat=True)
    invited = Invitation.objects.filter(used_by=user).values_list("email", flat=True)
    names = {user.get_username(), user.email, *addresses, *invited, *_earlier_names(user)}
    return set(filter(None, names))


def without_names_of_others(user: User, names: Collection[str]) -> set[str]:
    """Return the names that no other user has now.

    Log rows with a name that was reassigned may be that user's.
    """
    others = EmailAddress.objects.exclude(user=user)

    def is_reassigned(name: str) -> bool:
        has_name = Q(username__iexact=name) | Q(email__iexact=name)
        is_login = User.objects.exclude(pk=user.pk).filter(has_name).exists()
        return is_login or others.filter(email__iexact=name).exists()

    return {name for name in names if not is_reassigned(name)}


def _earlier_names(user: User) -> set[str]:
    """Return the names and addresses that changes in the audit log state."""
    changes = AuditEntry.objects.filter(kind=Kind.ACCESS_CHANGED, **{f"data__{audit_log.USER_KEY}": user.pk})
    pairs = [data.get(name, []) for data in changes.values_list("data", flat=True) for name in ("username", "email")]
    return {name for pair in pairs for name in pair if isinstance(name, str) and name}


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
    """Match entries about invitations that a user accepted.

    Older entries contain only the address.
    """
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
    """Return a user's name before entries had IDs, and since when they had it."""
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
