"""Catalogue entries in the admin: avatars with previews, voices with samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, RelatedDropdownFilter
from unfold.decorators import display

from avatars.catalogue import voices
from avatars.models import Avatar, CatalogueEntry, News, Voice, with_news
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import ReadOnly
from heygen_portal.runtime import stored_json

NEWS_COLOURS = {News.NEW.label: "success", News.CHANGED.label: "info", News.GONE.label: "danger"}


class NewsFilter(admin.SimpleListFilter):
    """List filter by changes since the previous sync."""

    title = _("changes")
    parameter_name = "news"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return News.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(with_news(value, timezone.now())) if value else queryset


class CatalogueAdmin(ModelAdmin):
    """Base admin of catalogue entries."""

    list_filter: tuple[Any, ...] = (("account", RelatedDropdownFilter), NewsFilter)
    list_filter_submit = True
    show_full_result_count = False
    search_fields: tuple[str, ...] = ("name__folded",)
    list_select_related = ("account",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Offer only usable entries in autocomplete fields."""
        if request.path.endswith("/autocomplete/"):
            queryset = self.matching(self.usable(queryset), request.GET.get("avatar", ""), request.GET)
        return super().get_search_results(request, queryset, search_term)

    def usable(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(gone_at=None)

    def matching(self, queryset: QuerySet[Any], avatar: str, form_values: Mapping[str, str]) -> QuerySet[Any]:
        """Return the entries that fit the selected avatar.

        `form_values` are the form's other values.
        """
        return queryset

    @display(description=_("changes"), ordering="gone_at", label=NEWS_COLOURS)
    def news(self, offered: CatalogueEntry) -> str:
        return str(offered.news.label) if offered.news else ""


def preview_image(avatar: Avatar, width: int) -> str:
    """Return an image tag of the preview, or a dash."""
    if not avatar.preview_url:
        return "–"
    return format_html('<img src="{}" alt="" width="{}" loading="lazy">', avatar.preview_url, width)


def audio_player(voice: Voice) -> str:
    """Return a player for the voice sample, or a dash."""
    if not voice.sample_url:
        return "–"
    label = gettext("Sample of %(voice)s") % {"voice": voice.name}
    return format_html(
        '<audio class="w-56" controls preload="none" src="{}" aria-label="{}"></audio>', voice.sample_url, label
    )


def describe_uses(avatar: Avatar) -> str:
    """Describe the avatar's live inputs and recorded videos."""
    capabilities = avatar.account.known_capabilities
    if capabilities is None:
        return stored_json.label(avatar.account.kind)
    live = gettext("Live, from text and voice") if capabilities.takes_voice else gettext("Live, from text")
    if not capabilities.takes_text:
        live = gettext("Live, from voice")
    recorded = gettext("recorded video from text; sound files are not accepted") if capabilities.makes_videos else ""
    return "; ".join(filter(None, (live, recorded)))


@admin.register(Avatar)
class AvatarAdmin(ReadOnly, CatalogueAdmin):
    list_display = ("thumbnail", "name", "account", "is_own", "is_image", "is_active", "news")
    list_display_links = ("thumbnail", "name")
    list_filter = (*CatalogueAdmin.list_filter, "is_own", "is_image", "is_active")
    fields = (
        "picture",
        "name",
        "account",
        "uses",
        "provider_avatar_id",
        "default_voice",
        "is_own",
        "is_image",
        "is_active",
        "appeared_at",
        "changed_at",
        "last_seen_at",
        "gone_at",
    )

    def usable(self, queryset: QuerySet[Avatar]) -> QuerySet[Avatar]:
        return super().usable(queryset).filter(is_active=True)

    @display(description=_("preview"))
    def thumbnail(self, avatar: Avatar) -> str:
        return preview_image(avatar, 56)

    @display(description=_("preview"))
    def picture(self, avatar: Avatar) -> str:
        return preview_image(avatar, 320)

    @display(description=_("supported uses"))
    def uses(self, avatar: Avatar) -> str:
        return describe_uses(avatar)

    @display(description=_("provider’s default voice"))
    def default_voice(self, avatar: Avatar) -> str:
        return str(voices.default_voice(avatar) or avatar.default_provider_voice_id or "–")


class AvatarPartAdmin(CatalogueAdmin):
    """Base admin of entries that are selected together with an avatar."""

    def matching(self, queryset: QuerySet[Any], avatar: str, form_values: Mapping[str, str]) -> QuerySet[Any]:
        return queryset.filter(account__avatar=int(avatar)) if avatar.isdecimal() else queryset


@admin.register(Voice)
class VoiceAdmin(ReadOnly, AvatarPartAdmin):
    list_display = ("name", "listen", "spoken", "gender_text", "has_emotions", "is_live", "is_own", "account", "news")
    list_filter = (
        *CatalogueAdmin.list_filter,
        ("language", AllValuesCheckboxFilter),
        ("gender", AllValuesCheckboxFilter),
        "has_emotions",
        "is_live",
        "is_own",
    )
    fields = (
        "name",
        "account",
        "provider_voice_id",
        "spoken",
        "gender_text",
        "has_emotions",
        "is_live",
        "is_own",
        "listen",
        "appeared_at",
        "changed_at",
        "last_seen_at",
        "gone_at",
    )

    def usable(self, queryset: QuerySet[Voice]) -> QuerySet[Voice]:
        return super().usable(queryset).filter(is_live=True)

    @display(description=_("language"), ordering="language")
    def spoken(self, voice: Voice) -> str:
        return voice.language_label if voice.language else gettext("several languages")

    @display(description=_("gender"), ordering="gender")
    def gender_text(self, voice: Voice) -> str:
        return voice.gender_label or "–"

    @display(description=_("sample"))
    def listen(self, voice: Voice) -> str:
        return audio_player(voice)

    def matching(self, queryset: QuerySet[Any], avatar: str, form_values: Mapping[str, str]) -> QuerySet[Any]:
        matching = super().matching(queryset, avatar, form_values)
        language = form_values.get("language")
        return matching.filter(language__in=("", language)) if language else matching
