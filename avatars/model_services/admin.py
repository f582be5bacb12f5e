"""Model services in the admin. Keys are never shown."""

from __future__ import annotations

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from avatars.model_services import changes, connection_page
from avatars.model_services.forms import ModelServiceForm
from avatars.models import ModelService
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import NoDelete, object_or_404
from heygen_portal.people.access import sudo
from heygen_portal.trail.change_log import Actor


@admin.register(ModelService)
class ModelServiceAdmin(sudo.SudoToSave, NoDelete, ModelAdmin):
    empty_words = _("A model service answers for personas with a brain of your own, from your documents.")
    form = ModelServiceForm
    list_display = ("name", "base_url", "chat_model", "embeddings_model")
    search_fields = ("name__folded", "base_url")
    fieldsets = (
        (None, {"fields": ("name", "base_url", "api_key")}),
        (
            _("Models"),
            {
                "fields": (
                    "chat_model", "embeddings_model", "moderation_model", "transcription_model", "speech_model",
                )
            },
        ),
        (_("Prices"), {"fields": ("input_price", "output_price")}),
        (_("Limits"), {"fields": ("first_token_timeout", "total_timeout")}),
    )  # fmt: skip
    actions_detail = ("try_connection",)

    @action(description=_("Check connection"), url_path="connection", permissions=["change"])
    def try_connection(self, request: HttpRequest, object_id: str) -> HttpResponse:
        service: ModelService = object_or_404(self, request, object_id)
        return connection_page.page(request, service)

    def save_model(self, request: HttpRequest, obj: ModelService, form: ModelServiceForm, change: bool) -> None:
        before = ModelService.objects.select_for_update().filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        changes.record(Actor.of(request), before, obj, has_new_key="api_key" in form.changed_data)
        if form.is_unchecked:
            words = gettext("%(account)s: the provider did not respond, so the key could not be checked.")
            self.message_user(request, words % {"account": obj}, messages.WARNING)
