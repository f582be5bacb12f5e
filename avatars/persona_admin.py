"""Personas in the admin: composed of choices, tried, published. Nobody types a provider's ID."""

from __future__ import annotations

from itertools import chain
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import action, display

from avatars import publishing
from avatars.catalogue_admin import picture_of
from avatars.models import Persona
from avatars.persona_forms import PersonaForm
from avatars.sync import refresh
from heygen_portal.admin_parts import ask_first, chosen, to_change_page
from heygen_portal.providers.base import CredentialRefused, ProviderError

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
