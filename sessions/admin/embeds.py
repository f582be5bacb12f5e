"""A persona's admin page with the pages on which it is embedded and tested."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from avatars.models import Persona
from avatars.personas.admin import PersonaAdmin
from heygen_portal.console.widgets import object_or_404
from heygen_portal.trail.change_log import Actor
from sessions.embed import embed_page, settings
from sessions.persona_tests import tests_page


@admin.register(Persona)
class EmbeddedPersonaAdmin(PersonaAdmin):
    actions_detail = (*PersonaAdmin.actions_detail, "tests", "embed")

    @action(description=_("Embed"), url_path="embed", permissions=["publish"])
    def embed(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let guests talk: on sites, or by links."""
        object_or_404(self, request, object_id)
        persona = Persona.objects.select_related("avatar__account").get(pk=object_id)
        return embed_page.page(request, persona, self.admin_site.each_context(request) | {"opts": self.opts})

    @action(description=_("Tests"), url_path="tests", permissions=["view"])
    def tests(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show scripted conversations and their last runs; edit, run, import and export them."""
        object_or_404(self, request, object_id)
        persona = Persona.objects.select_related("avatar__account").get(pk=object_id)
        context = self.admin_site.each_context(request) | {"opts": self.opts}
        context |= {
            "may_change": self.has_change_permission(request, persona),
            "may_publish": self.has_publish_permission(request),
        }
        return tests_page.page(request, persona, context)

    def delete_model(self, request: HttpRequest, obj: Persona) -> None:
        settings.delete(obj, Actor.of(request))
        super().delete_model(request, obj)
