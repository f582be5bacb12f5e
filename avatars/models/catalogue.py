"""The catalogue of a provider: avatars, voices and knowledge bases."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from avatars.models import languages
from avatars.models.accounts import ProviderAccount
from heygen_portal.runtime.text.model_fields import LimitedCharField

# How long entries are marked as new or changed.
NEWS_PERIOD = timedelta(days=7)


# Labels of the genders that providers state. Others are shown as stored.
GENDERS = {"male": _("male"), "female": _("female"), "neutral": _("neutral"), "unknown": _("unknown")}


class News(models.TextChoices):
    """How an entry differs from the previous sync."""

    NEW = "new", _("new")
    CHANGED = "changed", _("changed")
    GONE = "gone", _("gone")


def with_news(news: str, now: datetime) -> Q:
    """Return the filter for entries whose property `news` has this value."""
    is_new, is_changed = Q(appeared_at__gte=now - NEWS_PERIOD), Q(changed_at__gte=now - NEWS_PERIOD)
    if news == News.GONE:
        return Q(gone_at__isnull=False)
    return Q(gone_at=None) & (is_new if news == News.NEW else is_changed & ~is_new)


MAX_NAME_CHARACTERS = 200


class CatalogueEntry(models.Model):
    """One entry of a provider's catalogue.

    It is marked gone, never deleted, when the provider stops listing it.
    """

    account = models.ForeignKey(ProviderAccount, models.PROTECT, verbose_name=_("account"))
    name = LimitedCharField(_("name"), max_characters=MAX_NAME_CHARACTERS)
    # Empty: found by the account's first sync.
    appeared_at = models.DateTimeField(_("new since"), null=True, blank=True, editable=False)
    changed_at = models.DateTimeField(_("changed"), null=True, blank=True, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), editable=False)
    gone_at = models.DateTimeField(_("gone since"), null=True, blank=True, editable=False)

    class Meta:
        abstract = True
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def news(self) -> News | None:
        """Return how the entry changed within the last NEWS_PERIOD, if it did."""
        since = timezone.now() - NEWS_PERIOD
        if self.gone_at:
            return News.GONE
        if self.appeared_at and self.appeared_at >= since:
            return News.NEW
        return News.CHANGED if self.changed_at and self.changed_at >= since else None


class Avatar(CatalogueEntry):
    provider_avatar_id = models.CharField(_("provider’s ID"), max_length=200)
    default_provider_voice_id = models.CharField(_("provider’s default voice"), max_length=200, blank=True)
    is_active = models.BooleanField(_("active at the provider"), default=True)
    is_own = models.BooleanField(_("the account’s own"), default=False)
    is_image = models.BooleanField(_("made from a photo"), default=False)
    preview = models.FileField(_("preview"), upload_to="previews/", blank=True, editable=False)
    # Source URL of the preview without its query, which often is a new signature for each listing.
    preview_source = models.CharField(max_length=500, blank=True, editable=False)

    class Meta(CatalogueEntry.Meta):
        verbose_name = _("avatar")
        verbose_name_plural = _("avatars")
        constraints = (
            models.UniqueConstraint(fields=("account", "provider_avatar_id"), name="avatar_once_per_account"),
        )

    @property
    def preview_url(self) -> str:
        """Return the portal's URL of the preview, or an empty string without one."""
        return reverse("avatars:preview", args=[self.pk]) if self.preview else ""


class Voice(CatalogueEntry):
    provider_voice_id = models.CharField(_("provider’s ID"), max_length=200)
    language = models.CharField(_("language"), max_length=20, blank=True, help_text=_("Empty: several languages."))
    gender = models.CharField(_("gender"), max_length=20, blank=True)
    has_emotions = models.BooleanField(_("supports emotions"), default=False)
    is_live = models.BooleanField(_("usable in live conversations"), default=True, db_default=True)
    is_own = models.BooleanField(_("the account’s own"), default=False)
    preview_url = models.URLField(_("sample"), max_length=500, blank=True)

    class Meta(CatalogueEntry.Meta):
        verbose_name = _("voice")
        verbose_name_plural = _("voices")
        constraints = (models.UniqueConstraint(fields=("account", "provider_voice_id"), name="voice_once_per_account"),)

    def __str__(self) -> str:
        return " · ".join(filter(None, (self.name, self.language_label, self.gender_label)))

    @property
    def language_label(self) -> str:
        """Return the language's name in the user's language, or as stored if unknown."""
        return languages.name_of(self.language)

    @property
    def gender_label(self) -> str:
        return str(GENDERS.get(self.gender, self.gender))

    @property
    def sample_url(self) -> str:
        """Return the portal's URL of the voice sample, or an empty string without one."""
        has_sample = self.preview_url or self.account.capabilities.has_voice_samples
        return reverse("avatars:sample", args=[self.pk]) if has_sample else ""


class KnowledgeBase(CatalogueEntry):
    provider_knowledge_base_id = models.CharField(_("provider’s ID"), max_length=200)
    # The provider's texts. Texts written here are in the versions.
    opening = models.TextField(_("greeting"), blank=True)
    prompt = models.TextField(_("prompt"), blank=True)
    # Number of the newest version; 0 if never edited here.
    version = models.PositiveIntegerField(_("version"), default=0, editable=False)

    class Meta(CatalogueEntry.Meta):
        verbose_name = _("knowledge base")
        verbose_name_plural = _("knowledge bases")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "provider_knowledge_base_id"), name="knowledge_base_once_per_account"
            ),
        )
