"""Invitations to become a user."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from heygen_portal.permissions import Permission

MAY_INVITE = Permission.ADD_INVITATION


def holders_of(permission: str) -> models.QuerySet[User, User]:
    """Return the active users with a permission.

    They have it as superusers, by role or individually.
    """
    rows: models.QuerySet[User, User] = User.objects.with_perm(
        permission, backend="heygen_portal.people.access.role_backend.RoleBackend"
    )
    return rows


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> InvitationQuerySet:
        """Return invitations whose link still works.

        They are unused, in time, and by a person who may still invite.
        """
        return self.unused().filter(invited_by__in=self._inviter_ids())

    def orphaned(self) -> InvitationQuerySet:
        """Invitations that would be open if their author could still invite."""
        return self.unused().exclude(invited_by__in=self._inviter_ids())

    def unused(self) -> InvitationQuerySet:
        return self.filter(used_at=None, revoked_at=None, expires_at__gt=Now())

    @staticmethod
    def _inviter_ids() -> models.QuerySet[User, Any]:
        return holders_of(MAY_INVITE).values("pk")


class Invitation(models.Model):
    """Allows one address to create a user with one role, once, until it expires.

    The signed link is not stored. An invitation ends when its author may no longer invite.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    email = models.EmailField(_("e-mail address"), max_length=150, help_text=_("Also used as the user name."))
    group = models.ForeignKey(Group, models.PROTECT, verbose_name=_("role"))
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", editable=False, verbose_name=_("done by")
    )
    created_at = models.DateTimeField(_("user invited"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"), editable=False)
    used_at = models.DateTimeField(_("accepted"), null=True, blank=True, editable=False)
    used_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
        verbose_name=_("user"),
    )
    revoked_at = models.DateTimeField(_("withdrawn"), null=True, blank=True, editable=False)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ("-created_at",)
        constraints = (
            # Two open links for one address would admit two people.
            models.UniqueConstraint(
                fields=("email",), condition=Q(used_at=None, revoked_at=None), name="one_invitation_at_a_time"
            ),
        )

    def __str__(self) -> str:
        return self.email
