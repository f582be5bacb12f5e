"""The admin page on which staff embed a persona: who may talk, where, how much, the snippet, and links."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import segno
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from avatars.models import Persona
from heygen_portal.runtime.generics import AnyModelForm
from heygen_portal.trail.change_log import Actor
from sessions.embed import admission, origins, settings
from sessions.models import GuestLink, PersonaEmbed

LINKS_SHOWN = 20
MAX_LINK_DAYS = 365
# Pixels of a QR code's module.
QR_SCALE = 5
FORM_FIELDS = (
    "is_enabled",
    "is_page_trusted",
    "bubble_text",
    "side",
    "visit_limit",
    "conversations_per_device",
    "conversations_per_network",
    "conversations_per_day",
    "credits_per_day",
    "needs_guardian",
    "challenge",
)


class EmbedForm(AnyModelForm):
    """Who may talk with a persona as a guest."""

    sites = forms.CharField(
        label=capfirst(_("allowed sites")),
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3, "placeholder": "https://www.example.com"}),
        help_text=_("One per line. Other sites get an empty frame and an entry in the audit log."),
    )

    class Meta:
        model = PersonaEmbed
        fields = FORM_FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["sites"].initial = "\n".join(origins.shown(self.instance.origins))
        for name, field in self.fields.items():
            if isinstance(field, forms.BooleanField):
                field.widget = UnfoldBooleanWidget()
            elif isinstance(field, forms.IntegerField):
                field.widget = UnfoldAdminIntegerFieldWidget()
            elif isinstance(field.widget, forms.TextInput):
                field.widget = UnfoldAdminTextInputWidget()
            field.widget.attrs.setdefault("id", f"id_{name}")

    def clean_sites(self) -> list[str]:
        """Return the origins. Names each line that is none."""
        found: dict[str, None] = {}
        wrong = []
        for line in str(self.cleaned_data["sites"]).split():
            try:
                found[origins.normalized(line)] = None
            except origins.OriginInvalid:
                wrong.append(line)
        if wrong:
            words = _("Enter a site as https://host or https://host:port, without a path: %(sites)s")
            raise forms.ValidationError(words, params={"sites": ", ".join(wrong[:5])})
        if len(found) > origins.MAX_ORIGINS:
            raise forms.ValidationError(_("Enter fewer sites."))
        return list(found)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("is_enabled") and not cleaned.get("sites") and "sites" not in self.errors:
            self.add_error("sites", gettext("Enter at least one site on which guests may talk."))
        return cleaned

    def changed(self) -> PersonaEmbed:
        """Return the embed with the form's values, not stored."""
        embed: PersonaEmbed = self.save(commit=False)
        embed.origins = self.cleaned_data["sites"]
        return embed


class LinkForm(forms.Form):
    """A new link for guests."""

    label = forms.CharField(
        label=_("Purpose"), max_length=80, widget=UnfoldAdminTextInputWidget({"placeholder": _("Trade fair")})
    )
    days = forms.IntegerField(
        label=_("Valid for days"),
        min_value=1,
        max_value=MAX_LINK_DAYS,
        initial=7,
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    max_uses = forms.IntegerField(
        label=_("Conversations"), min_value=1, max_value=100_000, initial=100, widget=UnfoldAdminIntegerFieldWidget()
    )
    is_kiosk = forms.BooleanField(
        label=_("For a kiosk: starts over when a guest leaves, and keeps nothing on the device"),
        required=False,
        widget=UnfoldBooleanWidget(),
    )


def page(request: HttpRequest, persona: Persona, context: dict[str, Any]) -> HttpResponse:
    """Show the page, or save what was posted."""
    embed = settings.of_persona(persona)
    form, link_form = EmbedForm(instance=embed), LinkForm(prefix="link")
    actor = Actor.of(request)
    if "save" in request.POST:
        form = EmbedForm(request.POST, instance=embed)
        if form.is_valid():
            settings.save(form.changed(), actor)
            messages.success(request, gettext("Saved. It takes effect at once."))
            return redirect(request.path)
    elif "add_link" in request.POST:
        link_form = LinkForm(request.POST, prefix="link")
        if link_form.is_valid():
            given = link_form.cleaned_data
            lifetime = timedelta(days=given.pop("days"))
            settings.add_link(persona, actor, lifetime=lifetime, **given)
            return redirect(f"{request.path}#links")
    elif (link_id := request.POST.get("revoke", "")).isdecimal() and len(link_id) < 19 and embed.pk:
        settings.revoke_link(embed, int(link_id), actor)
        return redirect(f"{request.path}#links")
    portal = f"{request.scheme}://{request.get_host()}"
    context |= {
        "title": gettext("Embed %(name)s") % {"name": persona},
        "persona": persona,
        "embed": embed,
        "form": form,
        "link_form": link_form,
        "portal": portal,
        "script": f"{portal}{reverse('sessions:embed_script')}",
        "snippet": snippet(embed, f"{portal}{reverse('sessions:embed_script')}"),
        "links": [_shown(link, portal) for link in _links(embed)],
        "is_published": persona in Persona.objects.published(),
        "check_hash": "#avatar-chat-check",
    }
    return render(request, "admin/avatars/embed.html", context)


def snippet(embed: PersonaEmbed, script: str) -> str:
    """Return what an integrator pastes into a page."""
    label = embed.bubble_text.replace('"', "&quot;").replace("<", "&lt;")
    attributes = f' label="{label}"' if label else ""
    attributes += ' side="left"' if embed.side == PersonaEmbed.Side.LEFT else ""
    element = f'<avatar-chat persona="{embed.public_id}"{attributes}></avatar-chat>'
    return f'<script async src="{script}"></script>\n{element}'


def _links(embed: PersonaEmbed) -> list[GuestLink]:
    return list(embed.links.all()[:LINKS_SHOWN]) if embed.pk else []


def _shown(link: GuestLink, portal: str) -> dict[str, Any]:
    url = f"{portal}{reverse('sessions:guest_link', args=[admission.signed_code(link)])}"
    is_usable = link.revoked_at is None and link.expires_at > timezone.now() and link.uses < link.max_uses
    qr = segno.make(url, error="m").svg_data_uri(scale=QR_SCALE, light="#fff") if is_usable else ""
    return {"row": link, "url": url, "is_usable": is_usable, "qr": qr}
