"""Closing an account: names, addresses and ways to sign in are deleted.

The user's ID stays, as the record needs it.
"""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest

from heygen_portal.models import Invitation, Membership, PreferredLanguage, PreferredTimeZone
from heygen_portal.models.invitations import holders_of
from heygen_portal.people.access import logins
from heygen_portal.people.api_keys import keys as api_keys
from heygen_portal.people.invitations import inviting
from heygen_portal.people.mail import security_mail
from heygen_portal.people.sign_in import personal_logs, throttle
from heygen_portal.permissions import Permission
from heygen_portal.runtime import client_address
from heygen_portal.trail import audit_log, statements, user_rows
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.user_rows import USER


class LastAdministratorError(Exception):
    """After this, no active user could manage users and roles."""


def is_last_administrator(user: User) -> bool:
    """Whether this is the only active user who can manage users and roles."""
    administrators = holders_of(Permission.CHANGE_USER).filter(is_active=True)
    return administrators.filter(pk=user.pk).exists() and not administrators.exclude(pk=user.pk).exists()


def close(request: HttpRequest, user: User, *, reason: str = "") -> None:
    """Delete what identifies a user, and record it.

    Call it in a transaction that holds the user's row.

    `reason`: why staff do it on the user's behalf. Raises LastAdministratorError.
    """
    audit_log.lock_head()  # two administrators who close their accounts at once wait for each other here
    if is_last_administrator(user):
        raise LastAdministratorError
    is_own = request.user.pk == user.pk
    security_mail.send(request, user, "closed")  # to the address that is deleted below
    names, roles = personal_logs.names_of(user), audit_log.access_of(user)["roles"]
    own_names = personal_logs.without_names_of_others(user, names)
    throttle.forget(user, own_names)
    api_keys.revoke_all_of(user, Actor.of(request))
    stated = _anonymise(user)
    _delete_ways_in(user)
    personal_logs.delete_sign_ins(user, own_names)
    personal_logs.rename_in_admin_log(user, own_names)
    renamed = personal_logs.rename_in_audit_log(user, names)
    _delete_invitations(request, user, own_names)
    by_id, address = (user.pk, None) if is_own else (request.user.pk, client_address.of(request))
    data = {"reason": reason, "roles": [roles, []], audit_log.RENAMED: renamed, **stated}
    audit_log.record_by(by_id, address, AuditEntry.Kind.ACCOUNT_CLOSED, user, **data)


def is_closed(user: User) -> bool:
    """Whether a user's account was closed, which cannot be undone."""
    return audit_log.is_closed(user.pk)


def _anonymise(user: User) -> dict[str, Any]:
    """Delete a user's names and access; return data that states the changes."""
    stored, rows_before = User.objects.get(pk=user.pk), user_rows.access_rows(user.pk)
    user.username = _label(user.pk)
    user.first_name = user.last_name = user.email = ""
    user.set_unusable_password()
    user.is_active = user.is_staff = user.is_superuser = False
    user.last_login = None
    user.save()
    user.groups.clear()
    user.user_permissions.clear()
    return statements.merged(statements.changed(USER, stored, user), user_rows.access_changed(rows_before, user.pk))


def _label(user_id: int) -> str:
    """Return the username of a closed account: unique, and the same everywhere."""
    label = f"{audit_log.CLOSED_LABEL}{user_id}"
    while User.objects.filter(username__iexact=label).exclude(pk=user_id).exists():
        label += "-"
    return label


def _delete_ways_in(user: User) -> None:
    personal = (EmailAddress, Authenticator, SocialAccount, Membership, PreferredLanguage, PreferredTimeZone)
    for model in personal:
        model._default_manager.filter(user=user).delete()
    logins.end_all(user.pk)


def _delete_invitations(request: HttpRequest, user: User, names: set[str]) -> None:
    """Delete invitations of, to and by the user, except used ones they made."""
    inviting.revoke_all_of(request, user)
    theirs = Q(used_by=user) | Q(invited_by=user, used_by=None)
    for name in names:
        theirs |= Q(email__iexact=name, used_by=None)
    Invitation.objects.filter(theirs).delete()
