"""The catalogue in the admin: nobody types a provider's ID, nobody sees a key."""

from __future__ import annotations

from datetime import datetime
from itertools import chain
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import formats, timezone
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import action, display

from avatars import (
    migration_admin,
    past_admin,
    publishing,
    video_admin,  # noqa: F401 - registers its own page
)
from avatars.catalogue_admin import picture_of
from avatars.forms import PersonaForm, ProviderAccountForm
from avatars.models import Persona, ProviderAccount
from avatars.sync import SyncResult, refresh, sync_catalogue
from heygen_portal import audit
from heygen_portal.admin_parts import NeverDeleted, ask_first, chosen, to_change_page
from heygen_portal.models import AuditEntry
from heygen_portal.providers.base import CredentialRefused, ProviderError


@admin.register(ProviderAccount)
class ProviderAccountAdmin(NeverDeleted, ModelAdmin):
    form = ProviderAccountForm
    list_display = ("name", "kind", "base_url", "concurrency_limit", "synced_at")
    readonly_fields = ("synced_at", "credits_left", "open_there")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    "kind",
                    "base_url",
                    "api_key",
                    "key_header",
                    "is_sandbox",
                    "synced_at",
                    "credits_left",
                )
            },
        ),
        (_("Places"), {"fields": ("rooms", "concurrency_limit", "staff_places", "is_exclusive", "open_there")}),
        (_("Record"), {"fields": ("monitors_chat",)}),
        (
            _("Limits"),
            {"fields": ("longest_session", "idle_timeout", "monthly_cap", "credits_per_minute", "speech_days")},
        ),
    )
    actions = ("sync",)
    actions_detail = ("sync_one", "past", "migrate")

    @display(description=_("open there, not ours"))
    def open_there(self, account: ProviderAccount) -> str:
        lines = ((row["id"], row["status"], _local(row["seen_at"])) for row in account.strangers)
        return format_html_join(mark_safe("<br>"), gettext("{} ({}), seen first {}"), lines) or "–"

    @admin.action(description=_("Check connection and sync catalogue"), permissions=["change"])
    def sync(self, request: HttpRequest, queryset: QuerySet[ProviderAccount]) -> None:
        for account in queryset:
            self._sync(request, account)

    @action(
        description=_("Check connection and sync catalogue"),
        permissions=["change"],
        dialog=ask_first(_("Ask the provider what it offers now?"), _("Check and sync")),
    )
    def sync_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        self._sync(request, chosen(self, request, object_id))
        return to_change_page(ProviderAccount, object_id)

    @action(description=_("Move personas to another account"), permissions=["change"])
    def migrate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account: ProviderAccount = chosen(self, request, object_id)
        return migration_admin.page(request, account, self.admin_site.each_context(request))

    @action(description=_("Sessions that were"), permissions=["change"])
    def past(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account: ProviderAccount = chosen(self, request, object_id)
        return past_admin.page(request, account, self.admin_site.each_context(request))

    def save_model(self, request: HttpRequest, obj: ProviderAccount, form: ProviderAccountForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "api_key" in form.changed_data:
            audit.note(request, AuditEntry.Kind.KEY_SET, obj)
        if form.is_unchecked:
            words = gettext("%(account)s: the provider did not answer, so the key could not be checked.")
            self.message_user(request, words % {"account": obj}, messages.WARNING)

    def _sync(self, request: HttpRequest, account: ProviderAccount) -> None:
        try:
            result = async_to_sync(sync_catalogue)(account)
        except CredentialRefused as exc:
            words = gettext("%(account)s: the provider does not accept the key (%(detail)s).")
            self.message_user(request, words % {"account": account, "detail": exc}, messages.ERROR)
        except ProviderError as exc:
            words = gettext("%(account)s: the provider did not give its catalogue (%(detail)s).")
            self.message_user(request, words % {"account": account, "detail": exc}, messages.ERROR)
        else:
            self.message_user(request, _summary(account, result), messages.SUCCESS)


def _local(moment: str) -> str:
    return formats.date_format(timezone.localtime(datetime.fromisoformat(moment)), "DATETIME_FORMAT")


def _summary(account: ProviderAccount, result: SyncResult) -> str:
    words = gettext("%(account)s: connected. %(avatars)d avatars, %(voices)d voices, %(bases)d knowledge bases.")
    counts = {"avatars": result.avatars, "voices": result.voices, "bases": result.knowledge_bases}
    said = words % {"account": account, **counts}
    if result.previews_missing:
        said += " " + gettext("%(count)d previews could not be fetched.") % {"count": result.previews_missing}
    return said


HEARING = ("knowledge_base", "is_improvising", "is_voice_enabled", "interactivity", "breaks_silence")


@admin.register(Persona)
class PersonaAdmin(ModelAdmin):
    form = PersonaForm
    list_display = ("thumbnail", "name", "role", "language", "state", "version", "avatar")
    list_display_links = ("thumbnail", "name")
    list_filter = ("status", "language", ("avatar__account", RelatedDropdownFilter))
    list_select_related = ("avatar",)
    search_fields = ("name", "role", "summary", "slug")
    prepopulated_fields = {"slug": ("name",)}
    autocomplete_fields = ("avatar", "voice", "knowledge_base")
    readonly_fields = ("state", "version", "missing")
    fieldsets = (
        (None, {"fields": ("state", "version", "missing")}),
        (_("How people meet it"), {"fields": ("name", "slug", "role", "summary", "language", "greeting")}),
        (_("Picture and voice"), {"fields": ("avatar", "quality", "voice", "voice_rate", "voice_emotion")}),
        (_("What it knows and hears"), {"fields": HEARING}),
        (_("Limits"), {"fields": ("duration_limit", "idle_timeout", "speech_days")}),
    )
    actions = ("publish", "unpublish")
    actions_detail = ("publish_one", "unpublish_one")

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Offer the one of the two steps that there is to take."""
        is_published = Persona.objects.published().filter(pk=object_id).exists()
        done = "publish_one" if is_published else "unpublish_one"
        return [step for step in super().get_actions_detail(request, object_id) if step.path != done]

    def has_publish_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("avatars.publish_persona")

    def has_change_permission(self, request: HttpRequest, obj: Persona | None = None) -> bool:
        """What is published changes for everybody at once: only who may publish changes it."""
        if obj and obj.status == Persona.Status.PUBLISHED and not self.has_publish_permission(request):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Persona | None = None) -> bool:
        """Only a draft that nobody can have met; in a list there is no telling."""
        return obj is not None and obj.version == 0 and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Persona, form: PersonaForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.status == Persona.Status.PUBLISHED and form.changed_data:
            publishing.publish(obj)

    @display(description=_("preview"))
    def thumbnail(self, persona: Persona) -> str:
        return picture_of(persona.avatar, 56)

    @display(description=_("status"), ordering="status", label={_("published"): "success", _("draft"): "warning"})
    def state(self, persona: Persona) -> str:
        return persona.get_status_display()

    @display(description=_("missing for publishing"))
    def missing(self, persona: Persona) -> str:
        if not persona.pk:
            return "–"
        return " ".join(chain.from_iterable(publishing.problems(persona).values())) or gettext("Nothing.")

    @admin.action(description=_("Publish selected personas"), permissions=["publish"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Persona]) -> None:
        for persona in queryset:
            self._publish(request, persona)

    @admin.action(description=_("Unpublish selected personas"), permissions=["publish"])
    def unpublish(self, request: HttpRequest, queryset: QuerySet[Persona]) -> None:
        for persona in queryset:
            self._unpublish(request, persona)

    @action(
        description=_("Publish"),
        permissions=["publish"],
        dialog=ask_first(_("Let end users meet this persona as it is saved?"), _("Publish")),
    )
    def publish_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        self._publish(request, chosen(self, request, object_id))
        return to_change_page(Persona, object_id)

    @action(
        description=_("Unpublish"),
        permissions=["publish"],
        dialog=ask_first(_("Take this persona out of the gallery? Sessions that run go on."), _("Unpublish")),
    )
    def unpublish_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        self._unpublish(request, chosen(self, request, object_id))
        return to_change_page(Persona, object_id)

    def _publish(self, request: HttpRequest, persona: Persona) -> None:
        account = persona.avatar.account
        try:
            async_to_sync(refresh)(account)  # what it is made of may have gone since the catalogue was synced
        except CredentialRefused as exc:
            words = gettext("%(account)s: the provider does not accept the key (%(detail)s).")
            self.message_user(request, words % {"account": account, "detail": exc}, messages.ERROR)
            return
        except ProviderError as exc:
            words = gettext("%(account)s could not be asked (%(detail)s): published by what was known before.")
            self.message_user(request, words % {"account": account, "detail": exc}, messages.WARNING)
        try:
            publishing.publish(persona)
        except ValidationError as exc:
            self.message_user(request, f"{persona}: {' '.join(exc.messages)}", messages.ERROR)
        else:
            words = gettext("%(persona)s is published as version %(version)d.")
            self.message_user(request, words % {"persona": persona, "version": persona.version}, messages.SUCCESS)
            self.log_change(request, persona, words % {"persona": persona, "version": persona.version})

    def _unpublish(self, request: HttpRequest, persona: Persona) -> None:
        publishing.unpublish(persona)
        words = gettext("%(persona)s is no longer published.") % {"persona": persona}
        self.message_user(request, words, messages.SUCCESS)
        self.log_change(request, persona, words)
