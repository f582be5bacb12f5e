"""The organisation in the admin: its name, and the notice that users accept."""

from __future__ import annotations

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
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

    def save_model(self, request: HttpRequest, obj: Organisation, form: ModelForm[Organisation], change: bool) -> None:
        changes.store(obj, Actor.of(request))
