"""Creating users from invitations and from single sign-on.

OIDC_DOMAINS lists the domains for single sign-on.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core import signing
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from heygen_portal.models import Invitation
from heygen_portal.people.access import roles
from heygen_portal.people.access.roles import STAFF_GROUPS
from heygen_portal.runtime import client_address
from heygen_portal.trail import audit_log, statements, user_rows
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.user_rows import USER

INVITATION_LIFETIME = timedelta(days=7)


def token_of(invitation: Invitation) -> str:
    """Return the signed ID for the link.

    Database access alone is not enough to forge it.
    """
    return _signer().sign(str(invitation.pk))


def find(token: str) -> Invitation | None:
    """Return the open invitation for a link's token, or None."""
    try:
        number = _signer().unsign(token)
    except signing.BadSignature:
        return None
    return Invitation.objects.open().select_related("group").filter(pk=number).first()


def is_expected(email: str) -> bool:
    """Whether single sign-on may create a user with this verified address."""
    if not email or User.objects.filter(email__iexact=email).exists():
        return False
    is_own_domain = email.rpartition("@")[2] in {domain.lower() for domain in settings.OIDC_DOMAINS}
    return is_own_domain or Invitation.objects.open().filter(email=email).exists()


def withdraw_if_changed(request: HttpRequest, invitation: Invitation) -> bool:
    """Withdraw an invitation that is not as the audit log says. Return whether it was withdrawn.

    The withdrawal is recorded. An invitation that was used, withdrawn or replaced counts as changed if it is open.
    """
    if not (changed := changed_columns(invitation)):
        return False
    with transaction.atomic():
        if Invitation.objects.unused().filter(pk=invitation.pk).update(revoked_at=timezone.now()):
            address = client_address.of(request)
            audit_log.record_by(None, address, AuditEntry.Kind.INVITATION_REVOKED, invitation, changed=changed)
    return True


def withdraw_changed_for(request: HttpRequest, email: str) -> None:
    """Withdraw the open invitation for an address if it is not as the audit log says."""
    for invitation in Invitation.objects.open().select_related("group").filter(email=email):
        withdraw_if_changed(request, invitation)


def changed_columns(invitation: Invitation) -> list[str]:
    """Return the columns that differ from what the audit log says about an open invitation."""
    about = AuditEntry.objects.filter(**{f"data__{audit_log.INVITATION_KEY}": str(invitation.pk)})
    entry = next(audit_log.intact(about.filter(kind=AuditEntry.Kind.INVITED)), None)
    if entry is None:
        return ["id"]
    later = AuditEntry.objects.filter(kind=AuditEntry.Kind.INVITED, about=entry.about, number__gt=entry.number)
    found = {
        "email": entry.about != invitation.email,
        "group": entry.data.get("roles") != [[], [invitation.group.name]],
        "invited_by": entry.by != invitation.invited_by_id,
        "expires_at": datetime.fromisoformat(entry.at) + INVITATION_LIFETIME < timezone.now(),
        "used_at": about.filter(kind=AuditEntry.Kind.JOINED).exists(),
        "revoked_at": about.filter(kind=AuditEntry.Kind.INVITATION_REVOKED).exists() or later.exists(),
    }
    return [name for name, is_changed in found.items() if is_changed]


def accept(request: HttpRequest, invitation: Invitation, user: User) -> bool:
    """Create the invited user with the invitation's role.

    Return False if it was used meanwhile.
    """
    with transaction.atomic():
        if withdraw_if_changed(request, invitation):
            return False
        if not Invitation.objects.open().filter(pk=invitation.pk).update(used_at=timezone.now()):
            return False
        user.username = user.email = invitation.email
        user.save()
        _complete(request, invitation, user)
    return True


def record_single_sign_on(request: HttpRequest, user: User) -> None:
    """Record a user created by single sign-on.

    Call it in the transaction that creates the user.

    An invitation gives its role; a domain gives none.
    """
    with transaction.atomic():
        withdraw_changed_for(request, user.email)
        invitation = Invitation.objects.open().select_related("group").filter(email=user.email).first()
        if invitation and Invitation.objects.open().filter(pk=invitation.pk).update(used_at=timezone.now()):
            _complete(request, invitation, user)
        else:
            _record_joined(request, user, None)


def _signer() -> signing.Signer:
    return signing.Signer(salt="heygen_portal.people.invitation")


def _complete(request: HttpRequest, invitation: Invitation, user: User) -> None:
    Invitation.objects.filter(pk=invitation.pk).update(used_by=user)
    give_role(user, invitation.group)
    _record_joined(request, user, invitation)


def _record_joined(request: HttpRequest, user: User, invitation: Invitation | None) -> None:
    role_names = [invitation.group.name] if invitation else []
    used = {audit_log.INVITATION_KEY: str(invitation.pk)} if invitation else {}
    stated = statements.merged(statements.state(USER, user), user_rows.access_changed({}, user.pk))
    address = client_address.of(request)
    audit_log.record_by(user.pk, address, AuditEntry.Kind.JOINED, user, roles=[[], role_names], **used, **stated)


def give_role(user: User, group: Group) -> None:
    user.groups.add(group)
    user.is_staff = user.is_superuser or group.name in STAFF_GROUPS or user.is_staff
    user.save(update_fields=["is_staff"])
    roles.enrol(user)
