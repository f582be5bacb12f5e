"""The organisation in the admin: its name, its brand, and the notice that users accept."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import NoDelete
from heygen_portal.models import Organisation
from heygen_portal.people.organisation import changes
from heygen_portal.people.organisation.forms import CONSENT_TEXT_FIELDS, OrganisationForm
from heygen_portal.trail.change_log import Actor


@admin.register(Organisation)
class OrganisationAdmin(NoDelete, ModelAdmin):
    """The only organisation."""

    form = OrganisationForm
    list_display = ("name", "created_at")
    readonly_fields = ("consent_version", "created_at")
    fieldsets = (
        (None, {"fields": ("name", "created_at")}),
        (
            _("Brand"),
            {
                "description": _("On every page, in mail and in exports. A change takes effect within seconds."),
                "fields": ("portal_name", "logo_file", "icon_file", "accent", "accent_dark"),
            },
        ),
        (_("Mail"), {"fields": ("mail_name", "mail_address")}),
        (_("Start page"), {"fields": ("offered", "default_persona")}),
        (
            _("Notice before conversations"),
            {
                "fields": (
                    "requires_consent",
                    "privacy_url",
                    "terms_url",
                    "imprint_url",
                    *CONSENT_TEXT_FIELDS.values(),
                    "consent_version",
                )
            },
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Organisation, form: Any, change: bool) -> None:
        changes.store(obj, Actor.of(request), *form.pictures)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Record the pictures that the form has refused, and show it again."""
        form = context["adminform"].form
        for refused in form.refused:
            changes.record_refused_picture(
                form.instance, Actor.of(request), refused.purpose, refused.why, refused.content
            )
        return super().render_change_form(request, context, *args, **kwargs)
