"""What people with power over the portal did outside of any session."""

from __future__ import annotations

import hashlib
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
from heygen_portal.trail import hash_chain


class AuditEntry(models.Model):
    """Somebody's role, password or a provider's key was changed, or something was taken out.

    Append-only: each row holds the hash of the last.
    """

    class Kind(models.TextChoices):
        ACCESS_CHANGED = "access_changed", _("access changed")
        PASSWORD_SET = "password_set", _("password set")
        KEY_SET = "key_set", _("provider key set")
        SESSIONS_STOPPED = "sessions_stopped", _("sessions stopped")
        EXPORTED = "exported", _("exported")
        SEARCHED = "searched", _("transcripts searched")
        INVITED = "invited", _("user invited")
        INVITATION_REVOKED = "invitation_revoked", _("invitation revoked")
        JOINED = "joined", _("invitation accepted")
        SECOND_FACTOR_ON = "second_factor_on", _("second factor set up")
        SECOND_FACTOR_OFF = "second_factor_off", _("second factor removed")
        ACCOUNT_CHANGED = "account_changed", _("provider account changed")
        PUBLISHED = "published", _("persona published")
        ROLLED_BACK = "rolled_back", _("persona rolled back")
        UNPUBLISHED = "unpublished", _("persona unpublished")
        PERSONA_CHANGED = "persona_changed", _("persona address or groups changed")
        ALLOWANCE_CHANGED = "allowance_changed", _("quota changed")
        PERSONAL_DATA = "personal_data", _("personal data exported")
        ANCHORED = "anchored", _("anchored")
        EXPORT_STATE = "export_state", _("export state changed")
        RECORD_CHECKED = "record_checked", _("integrity checked")
        RECORD_UPGRADED = "record_upgraded", _("rows of an earlier version covered")
        ORGANISATION_CHANGED = "organisation_changed", _("organisation renamed")
        KNOWLEDGE_EXPORTED = "knowledge_exported", _("knowledge bases exported")

    number = models.PositiveIntegerField(_("number"), unique=True)
    at = models.DateTimeField(_("at"), default=timezone.now)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    # Empty: a command on the server, not a page.
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("done by")
    )
    address = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    about = models.CharField(_("about"), max_length=200)
    data = models.JSONField(_("data"), default=dict)
    # Checksums of kind, by, address, about, data and at: they tell which was changed.
    prints = models.CharField(max_length=60, default="", db_default="", editable=False)
    previous_hash = models.CharField(max_length=64, editable=False)
    hash = models.CharField(max_length=64, editable=False)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ("-number",)

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"

    SAID = ("kind", "by", "address", "about", "data", "at")
    """What the checksums are of, in their order."""

    def said(self) -> list[str]:
        values = (str(self.kind), self.by_id, self.address, self.about, self.data, self.at.isoformat())
        return [hash_chain.canonical(value) for value in values]

    def close(self) -> None:
        """Compute checksums and hash of an entry whose number and predecessor are known."""
        self.prints = hash_chain.prints(*self.said())
        self.hash = self.digest()

    def digest(self) -> str:
        """Return the SHA-256 over everything the entry says, the one before it included."""
        said = (str(self.kind), self.by_id, self.address, self.about, self.data, self.at.isoformat())
        return self.hash_of(self.previous_hash, self.number, said, self.prints)

    @staticmethod
    def hash_of(previous_hash: str, number: int, said: tuple[Any, ...], prints: str) -> str:
        """Do what `digest` does, for values without a row. Entries from before checksums were kept have none."""
        everything = [previous_hash, number, *said, *([prints] if prints else [])]
        return hashlib.sha256(hash_chain.canonical(everything).encode("utf-8", "surrogatepass")).hexdigest()


class AuditHead(models.Model):
    """The number and hash of the newest entry, signed, so that what is cut off shows. One row, which goes forward only.

    Whoever appends holds it.
    """

    number = models.PositiveIntegerField(_("number"), default=0)
    hash = models.CharField(max_length=64, blank=True)
    signature = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("audit log head")
        verbose_name_plural = _("audit log heads")

    def __str__(self) -> str:
        return str(self.number)


DEFAULT_ORGANISATION = 1
"""Primary key of the organisation that a migration creates."""


class Organisation(models.Model):
    """Owner of provider accounts, personas, staff and quotas. There is one; nothing separates several yet."""

    name = models.CharField(_("name"), max_length=80, unique=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("organisation")
        verbose_name_plural = _("organisations")

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """The organisation that a member of staff belongs to."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="membership", verbose_name=_("user")
    )
    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        default=DEFAULT_ORGANISATION,
        related_name="memberships",
        verbose_name=_("organisation"),
    )

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")

    def __str__(self) -> str:
        return f"{self.user_id} {self.organisation_id}"


class PreferredLanguage(models.Model):
    """The language in which a person last signed in or that they chose: letters to them are in it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+", verbose_name=_("user")
    )
    code = models.CharField(_("language"), max_length=10)

    class Meta:
        verbose_name = _("preferred language")
        verbose_name_plural = _("preferred languages")

    def __str__(self) -> str:
        return f"{self.user_id} {self.code}"


class SignIn(models.Model):
    """Whose a row of the sign-in log is. It goes with that row."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user"))
    succeeded = models.OneToOneField(
        "axes.AccessLog", models.CASCADE, null=True, related_name="+", verbose_name=_("sign-in")
    )
    failed = models.OneToOneField(
        "axes.AccessAttempt", models.CASCADE, null=True, related_name="+", verbose_name=_("failed sign-in")
    )

    class Meta:
        verbose_name = _("sign-in")
        verbose_name_plural = _("sign-ins")
        constraints = (
            models.CheckConstraint(condition=Q(succeeded=None) ^ Q(failed=None), name="sign_in_succeeded_or_failed"),
        )

    def __str__(self) -> str:
        return str(self.pk)


MAY_INVITE = Permission.ADD_INVITATION


def holders_of(permission: str) -> models.QuerySet[User, User]:
    """Return the active users with a permission: superusers, and by a group or of their own."""
    rows: models.QuerySet[User, User] = User.objects.with_perm(
        permission, backend="django.contrib.auth.backends.ModelBackend"
    )
    return rows


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> InvitationQuerySet:
        """Invitations whose link still lets somebody in: whoever made one may still make invitations."""
        return self.unused().filter(invited_by__in=self._who_may_invite())

    def orphaned(self) -> InvitationQuerySet:
        """Invitations that would be open if their maker could still invite."""
        return self.unused().exclude(invited_by__in=self._who_may_invite())

    def unused(self) -> InvitationQuerySet:
        return self.filter(used_at=None, revoked_at=None, expires_at__gt=Now())

    @staticmethod
    def _who_may_invite() -> models.QuerySet[User, Any]:
        return holders_of(MAY_INVITE).values("pk")


class Invitation(models.Model):
    """Somebody may become a user with one role, once, until a moment. The link is signed; it is stored nowhere.

    It ends with its maker's right to invite.
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
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ("-created_at",)
        constraints = (
            # Two links for one address would let two people in.
            models.UniqueConstraint(
                fields=("email",), condition=Q(used_at=None, revoked_at=None), name="one_invitation_at_a_time"
            ),
        )

    def __str__(self) -> str:
        return self.email
