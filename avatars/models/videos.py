"""Recorded videos: the order, its progress, and the file once it was fetched."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from avatars.models.catalogue import Avatar, Voice
from heygen_portal.runtime.text.model_fields import ChoiceField, LimitedCharField


class VideoQuerySet(models.QuerySet["Video"]):
    def due(self, when: datetime) -> VideoQuerySet:
        """Return videos that the worker must act on by then, the longest overdue first."""
        return self.filter(due_at__lte=when).order_by("due_at")


class Video(models.Model):
    """One text spoken by an avatar, recorded as a video.

    Its status is changed only by `avatars.videos.orders`.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting to be ordered")
        ORDERING = "ordering", _("being ordered")
        MAKING = "making", _("being made")
        READY = "ready", _("ready")
        FETCHING = "fetching", _("being fetched")
        FAILED = "failed", _("failed")
        UNKNOWN = "unknown", _("unknown")

    class Failure(models.TextChoices):
        """Why the video is missing, what to do, and whether that costs credits."""

        KEY_REFUSED = (
            "key_refused",
            _("The provider does not accept the account’s key. Enter a valid key, then order the video again."),
        )
        NO_CREDITS = "no_credits", _("The account has no credits left. Add credits, then order the video again.")
        REFUSED = (
            "refused",
            _(
                "The provider did not accept the order. Solve the problem and order the video again, or "
                "create another one."
            ),
        )
        AWAY = "away", _("The provider was not reachable for an hour, so nothing was ordered. Try again later.")
        FULL = "full", _("The provider had no free slot for an hour, so nothing was ordered. Try again later.")
        LOST = (
            "lost",
            _(
                "The provider did not respond to the order, and the video is not in its list. Check there. "
                "If it is missing, order the video again."
            ),
        )
        BROKEN = "broken", _("The provider could not make the video. Order it again, or create one with another text.")
        OVERDUE = "overdue", _("The video was not ready after three hours. Check again, free of charge.")
        GONE = "gone", _("The provider no longer has the video. If you order it again, it is charged again.")
        NOT_FETCHED = "not_fetched", _("The file could not be fetched. Try again, free of charge.")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = LimitedCharField(_("title"), max_characters=100)
    text = models.TextField(_("text"))
    avatar = models.ForeignKey(Avatar, models.PROTECT, verbose_name=_("avatar"))
    voice = models.ForeignKey(
        Voice,
        models.PROTECT,
        null=True,
        blank=True,
        verbose_name=_("voice"),
        help_text=_("Empty: the avatar’s own voice."),
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", editable=False, verbose_name=_("requested by")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    status = ChoiceField(_("status"), max_length=10, choices=Status, default=Status.WAITING, editable=False)
    failure = ChoiceField(_("failure"), max_length=20, choices=Failure, blank=True, editable=False)
    failure_detail = models.CharField(_("provider’s message"), max_length=300, blank=True, editable=False)
    # The next time the worker must act on this row; None if there is nothing to do.
    due_at = models.DateTimeField(_("next check"), null=True, default=timezone.now, editable=False)
    # Since when the video has this status, and how often it was polled since: for time-outs and back-off.
    since = models.DateTimeField(default=timezone.now, editable=False)
    polls = models.PositiveIntegerField(default=0, editable=False)
    # Number of orders; part of the reference by which an order is found in the provider's list.
    orders = models.PositiveIntegerField(_("orders"), default=0, editable=False)
    provider_video_id = models.CharField(_("provider’s ID"), max_length=200, blank=True, editable=False)
    duration = models.DurationField(_("duration"), null=True, blank=True, editable=False)
    credits = models.DecimalField(_("credits"), max_digits=10, decimal_places=2, null=True, blank=True, editable=False)
    # Expires after some days; another poll renews it.
    url = models.CharField(_("at the provider"), max_length=2000, blank=True, editable=False)
    ready_at = models.DateTimeField(_("ready"), null=True, blank=True, editable=False)
    file = models.FileField(_("file"), upload_to="videos/", blank=True, editable=False)

    objects = VideoQuerySet.as_manager()

    class Meta:
        verbose_name = _("recorded video")
        verbose_name_plural = _("recorded videos")
        ordering = ("-created_at",)
        indexes = (models.Index("due_at", name="video_due", condition=Q(due_at__isnull=False)),)
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=("ready", "failed", "unknown")) ^ Q(due_at__isnull=False),
                name="video_under_way_is_due",
            ),
            models.CheckConstraint(
                condition=Q(status__in=("waiting", "ordering", "failed", "unknown")) | ~Q(provider_video_id=""),
                name="ordered_video_has_id",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=("failed", "unknown")) | ~Q(failure=""), name="failed_video_says_why"
            ),
        )

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("avatars:video", args=[self.pk])

    @property
    def reference(self) -> str:
        """Return the reference of the newest order at the provider."""
        return f"{self.pk.hex}-{self.orders}"

    @property
    def provider_voice_id(self) -> str:
        """Return the provider's ID of the voice."""
        return self.voice.provider_voice_id if self.voice else self.avatar.default_provider_voice_id

    @property
    def is_under_way(self) -> bool:
        """Return whether the worker still acts on the video."""
        return self.due_at is not None
