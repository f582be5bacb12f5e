"""Embedded personas, and the guests who talk with them without an account."""

from __future__ import annotations

import secrets
import uuid
from datetime import timedelta
from uuid import UUID

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from avatars.models import Persona
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text.model_fields import ChoiceField, LimitedCharField

# Who a session, a conversation or a queue entry belongs to: the ID of a user, or the UUID of a guest.
OwnerId = int | UUID
# Bytes of an embed's public ID and of a link's code: neither can be guessed.
PUBLIC_ID_BYTES = 12


def owned_by(owner: OwnerId, prefix: str = "") -> Q:
    """Return the condition that a row belongs to this owner.

    `prefix` is the lookup of a related row that has the owner, such as "session__".
    """
    return Q(**{f"{prefix}{'guest' if isinstance(owner, UUID) else 'user'}_id": owner})


def owner_columns(owner: OwnerId) -> dict[str, OwnerId]:
    """Return the column that makes a new row this owner's."""
    return {"guest_id" if isinstance(owner, UUID) else "user_id": owner}


def guest_name(guest_id: UUID) -> str:
    """Return a guest's name for staff, in the active language. It says nothing about the person."""
    return gettext("Guest %(code)s") % {"code": guest_id.hex[:8]}


def new_public_id() -> str:
    """Return an ID for an address, which cannot be guessed."""
    return secrets.token_urlsafe(PUBLIC_ID_BYTES)


class Owned(models.Model):
    """A row that belongs to a user or to a guest. Subclasses define `user` and `guest`."""

    user_id: int | None
    guest_id: UUID | None

    class Meta:
        abstract = True

    @property
    def owner_id(self) -> OwnerId:
        """The ID of the user or guest."""
        owner = self.guest_id if self.user_id is None else self.user_id
        assert owner is not None  # by a constraint
        return owner

    @property
    def owner_name(self) -> str:
        """The user's name, or a guest's name for staff."""
        if self.guest_id is not None:
            return guest_name(self.guest_id)
        user = getattr(self, "user", None)
        return user.get_username() if user else "–"


class PersonaEmbed(models.Model):
    """Whether and where guests may talk with a persona, and how much. Not versioned: changes take effect at once."""

    class Challenge(models.TextChoices):
        NEVER = "never", _("never")
        BUSY = "busy", _("when many guests come from one network")
        ALWAYS = "always", _("always")

    class Side(models.TextChoices):
        RIGHT = "right", _("bottom right")
        LEFT = "left", _("bottom left")

    persona = models.OneToOneField(Persona, models.CASCADE, related_name="embed", verbose_name=_("persona"))
    # In the address of its frame. The persona's slug may change, and may be guessed.
    public_id = models.CharField(_("public ID"), max_length=32, unique=True, default=new_public_id, editable=False)
    is_enabled = models.BooleanField(
        _("guests may talk on the sites below"),
        default=False,
        help_text=_("Without an account. A guest sees only this visit’s conversation."),
    )
    origins = stored_json.ListField(_("allowed sites"), default=list, blank=True)
    is_page_trusted = models.BooleanField(
        _("sites may read and write"),
        default=False,
        help_text=_("The page around the persona receives what is said, and can write in the guest’s name."),
    )
    bubble_text = LimitedCharField(_("bubble text"), max_characters=40, blank=True)
    side = ChoiceField(_("position"), max_length=5, choices=Side, default=Side.RIGHT)
    visit_limit = models.DurationField(
        _("guest limit"), default=timedelta(minutes=10), help_text=_("Per conversation. Hours:minutes:seconds.")
    )
    conversations_per_device = models.PositiveIntegerField(
        _("conversations a day per device"), default=5, validators=[MinValueValidator(1)]
    )
    conversations_per_network = models.PositiveIntegerField(
        _("conversations a day per network address"), default=50, validators=[MinValueValidator(1)]
    )
    conversations_per_day = models.PositiveIntegerField(
        _("conversations a day in all"), default=500, validators=[MinValueValidator(1)]
    )
    credits_per_day = models.DecimalField(
        _("daily spending cap for guests"),
        max_digits=10,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("In credits. Empty: only the account’s monthly cap applies."),
    )
    needs_guardian = models.BooleanField(
        _("age check"),
        default=False,
        help_text=_("Guests confirm that they are of age, or that a parent or guardian agrees."),
    )
    challenge = ChoiceField(
        _("check against automated guests"), max_length=6, choices=Challenge, default=Challenge.BUSY
    )
    # The site that last showed it, as far as the portal knows.
    seen_origin = models.CharField(max_length=255, blank=True, editable=False)
    seen_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("embedding of a persona")
        verbose_name_plural = _("embedding of personas")
        default_permissions = ()  # whoever may publish the persona may embed it
        constraints = (
            models.CheckConstraint(condition=Q(visit_limit__gt=timedelta(0)), name="guest_limit_above_zero"),
        )

    def __str__(self) -> str:
        return str(self.persona)


class GuestLinkQuerySet(models.QuerySet["GuestLink"]):
    def usable(self) -> GuestLinkQuerySet:
        """Links that have neither expired nor been withdrawn. They may be used up."""
        return self.filter(revoked_at=None, expires_at__gt=timezone.now())


class GuestLink(models.Model):
    """A link that lets a limited number of guests talk with a persona until it expires."""

    embed = models.ForeignKey(PersonaEmbed, models.CASCADE, related_name="links", verbose_name=_("embedding"))
    code = models.CharField(max_length=32, unique=True, default=new_public_id, editable=False)
    label = LimitedCharField(_("purpose"), max_characters=80)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"))
    max_uses = models.PositiveIntegerField(_("uses"), validators=[MinValueValidator(1)])
    # Conversations that guests of this link have started.
    uses = models.PositiveIntegerField(_("used"), default=0, editable=False)
    is_kiosk = models.BooleanField(
        _("kiosk"),
        default=False,
        help_text=_("For a screen in a public place: starts over when a guest leaves, and keeps nothing."),
    )
    revoked_at = models.DateTimeField(_("withdrawn"), null=True, editable=False)

    objects = GuestLinkQuerySet.as_manager()

    class Meta:
        verbose_name = _("guest link")
        verbose_name_plural = _("guest links")
        default_permissions = ()
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return self.label


class Guest(models.Model):
    """A person without an account, from the first Start on. Rows are evidence and never deleted.

    Device and network are keyed hashes: they count conversations, and lead back to nobody.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    embed = models.ForeignKey(PersonaEmbed, models.PROTECT, related_name="guests", verbose_name=_("embedding"))
    # Empty: from a site.
    link = models.ForeignKey(
        GuestLink, models.PROTECT, null=True, blank=True, related_name="guests", verbose_name=_("guest link")
    )
    origin = models.CharField(_("site"), max_length=255, blank=True)
    device = models.CharField(max_length=64, editable=False)
    network = models.CharField(max_length=64, editable=False)
    has_guardian = models.BooleanField(_("age confirmed"), default=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        verbose_name = _("guest")
        verbose_name_plural = _("guests")
        default_permissions = ()
        indexes = (
            models.Index(fields=("embed", "created_at"), name="guest_of_embed"),
            models.Index(fields=("device", "created_at"), name="guest_of_device"),
            models.Index(fields=("network", "created_at"), name="guest_of_network"),
        )

    def __str__(self) -> str:
        return guest_name(self.id)
