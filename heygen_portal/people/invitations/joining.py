"""Who may become somebody here: invited people, and those of the domains that the settings name."""

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
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry

INVITATION_LIFETIME = timedelta(days=7)
"""How long an invitation is good for."""


def token_of(invitation: Invitation) -> str:
    """Return what the link holds: the invitation's number, signed. The database alone does not open the door."""
    return _signer().sign(str(invitation.pk))


def find(token: str) -> Invitation | None:
    """Return the invitation that a link holds, if it is ours and still good."""
    try:
        number = _signer().unsign(token)
    except signing.BadSignature:
        return None
    return Invitation.objects.open().select_related("group").filter(pk=number).first()


def is_expected(email: str) -> bool:
    """Whether somebody with this address, vouched for by the directory, may become somebody here."""
    if not email or User.objects.filter(email__iexact=email).exists():
        return False
    is_own_domain = email.rpartition("@")[2] in {domain.lower() for domain in settings.OIDC_DOMAINS}
    return is_own_domain or Invitation.objects.open().filter(email=email).exists()


def accept(request: HttpRequest, invitation: Invitation, user: User) -> bool:
    """Store the person whom an invitation let in, with its role; False when somebody has used it meanwhile."""
    with transaction.atomic():
        if not Invitation.objects.open().filter(pk=invitation.pk).update(used_at=timezone.now()):
            return False
        user.username = user.email = invitation.email
        user.save()
        _complete(request, invitation, user)
    return True


def record_single_sign_on(request: HttpRequest, user: User) -> None:
    """Somebody came by single sign-on for the first time; an invitation gives its role, a domain none."""
    with transaction.atomic():
        invitation = Invitation.objects.open().select_related("group").filter(email=user.email).first()
        if invitation and Invitation.objects.open().filter(pk=invitation.pk).update(used_at=timezone.now()):
            _complete(request, invitation, user)
        else:
            audit_log.record_by(user.pk, client_address.of(request), AuditEntry.Kind.JOINED, user, roles=[[], []])


def _signer() -> signing.Signer:
    return signing.Signer(salt="heygen_portal.people.invitation")


def _complete(request: HttpRequest, invitation: Invitation, user: User) -> None:
    Invitation.objects.filter(pk=invitation.pk).update(used_by=user)
    give_role(user, invitation.group)
    given = [[], [invitation.group.name]]
    audit_log.record_by(user.pk, client_address.of(request), AuditEntry.Kind.JOINED, user, roles=given)


def give_role(user: User, group: Group) -> None:
    user.groups.add(group)
    user.is_staff = user.is_superuser or group.name in STAFF_GROUPS or user.is_staff
    user.save(update_fields=["is_staff"])
    roles.enrol(user)
