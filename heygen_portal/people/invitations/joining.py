"""Creating users from invitations and from single sign-on.

OIDC_DOMAINS lists the domains for single sign-on.
"""

from __future__ import annotations

from datetime import timedelta

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


def accept(request: HttpRequest, invitation: Invitation, user: User) -> bool:
    """Create the invited user with the invitation's role.

    Return False if it was used meanwhile.
    """
    with transaction.atomic():
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
        invitation = Invitation.objects.open().select_related("group").filter(email=user.email).first()
        if invitation and Invitation.objects.open().filter(pk=invitation.pk).update(used_at=timezone.now()):
            _complete(request, invitation, user)
        else:
            _record_joined(request, user, [])


def _signer() -> signing.Signer:
    return signing.Signer(salt="heygen_portal.people.invitation")


def _complete(request: HttpRequest, invitation: Invitation, user: User) -> None:
    Invitation.objects.filter(pk=invitation.pk).update(used_by=user)
    give_role(user, invitation.group)
    _record_joined(request, user, [invitation.group.name])


def _record_joined(request: HttpRequest, user: User, role_names: list[str]) -> None:
    stated = statements.merged(statements.state(USER, user), user_rows.access_changed({}, user.pk))
    address = client_address.of(request)
    audit_log.record_by(user.pk, address, AuditEntry.Kind.JOINED, user, roles=[[], role_names], **stated)


def give_role(user: User, group: Group) -> None:
    user.groups.add(group)
    user.is_staff = user.is_superuser or group.name in STAFF_GROUPS or user.is_staff
    user.save(update_fields=["is_staff"])
    roles.enrol(user)
