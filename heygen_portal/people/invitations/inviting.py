"""Creating, mailing and withdrawing invitations."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from heygen_portal.branding.current import current
from heygen_portal.models import Invitation
from heygen_portal.people.invitations import joining
from heygen_portal.people.mail import outgoing
from heygen_portal.people.preferences import time_zones
from heygen_portal.runtime import budgets, client_address
from heygen_portal.runtime.text import bidi
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry


def invite(request: HttpRequest, invitation: Invitation) -> None:
    """Store an invitation and revoke an earlier one for the same address.

    Raises TooManyRequests.
    """
    assert isinstance(request.user, User)  # the admin requires a signed-in user
    recipient = outgoing.mailbox_key(invitation.email)
    budgets.spend_sync("invite", person=request.user.pk, address=client_address.of(request), recipient=recipient)
    now = timezone.now()
    invitation.invited_by, invitation.created_at, invitation.expires_at = (
        request.user,
        now,
        now + joining.INVITATION_LIFETIME,
    )
    with transaction.atomic():
        earlier = Invitation.objects.filter(email=invitation.email, used_at=None, revoked_at=None)
        earlier.update(revoked_at=now)
        invitation.save(force_insert=True)
        audit_log.record(request, AuditEntry.Kind.INVITED, invitation, roles=[[], [invitation.group.name]])


def revoke(request: HttpRequest, invitation: Invitation) -> bool:
    """Withdraw an invitation. Return False if it was no longer open."""
    with transaction.atomic():
        if not Invitation.objects.open().filter(pk=invitation.pk).update(revoked_at=timezone.now()):
            return False
        audit_log.record(request, AuditEntry.Kind.INVITATION_REVOKED, invitation)
    return True


def revoke_all_of(request: HttpRequest, inviter: User) -> list[Invitation]:
    """Revoke all open invitations that a user made, and return them."""
    with transaction.atomic():
        revoked = list(Invitation.objects.orphaned().filter(invited_by=inviter).select_for_update(of=("self",)))
        for invitation in revoked:
            Invitation.objects.filter(pk=invitation.pk).update(revoked_at=timezone.now())
            audit_log.record(request, AuditEntry.Kind.INVITATION_REVOKED, invitation)
    return revoked


def link(request: HttpRequest, invitation: Invitation) -> str:
    """Return the invitation's URL."""
    return request.build_absolute_uri(reverse("invitation", args=[joining.token_of(invitation)]))


def send_mail(request: HttpRequest, invitation: Invitation) -> bool:
    """Mail the link. Return False without a mail server or if it rejects the message."""
    if not outgoing.is_set_up():
        return False
    by = invitation.invited_by.get_full_name() or invitation.invited_by.get_username()
    zone = timezone.get_default_timezone()  # the portal does not know the invited person's yet
    portal = current().name
    context = {
        "invitation": invitation,
        "link": link(request, invitation),
        "by": bidi.isolated(by),
        "portal": bidi.isolated(portal),
    }
    with timezone.override(zone):
        letter = render_to_string("people/invitation_letter.txt", context | {"zone": time_zones.label(zone)}).strip()
    return outgoing.send(invitation.email, _("Invitation to %(portal)s") % {"portal": portal}, letter)
