"""Personas in the admin: edit, try, publish and roll back."""

from __future__ import annotations

from itertools import chain
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display

from avatars.catalogue.admin import preview_image
from avatars.models import Avatar, Persona, PersonaVersion, Voice
from avatars.models.stated import PERSONA
from avatars.personas import form_options, publish_button, publishing, versions, versions_page
from avatars.personas.forms import UNVERSIONED_FIELDS, PersonaForm
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.roles_field import RolesField
from heygen_portal.console.widgets import confirm_dialog, object_or_404, redirect_to_change_page
from heygen_portal.people.access import roles
from heygen_portal.permissions import Permission
from heygen_portal.trail import change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry

VOICE_FIELDS = ("voice", "voice_rate", "voice_emotion", "voice_stability", "voice_similarity_boost", "voice_style")
LISTENING_FIELDS = (
    "knowledge_base",
    "is_improvising",
    "is_voice_enabled",
    "interactivity",
    "breaks_silence",
    "reads_aloud",
)
BRAIN_FIELDS = (
    "brain",
    "model_service",
    "library",
    "instructions",
    "longest_answer",
    "filler_sentence",
    "filler_after_seconds",
    "fallback_sentence",
    "refused_topics",
    "refusal_sentence",
    "forbidden_words",
    "is_masking",
    "is_moderated",
    "tools",
)
LABELS = {_("published"): "success", _("draft"): "warning", _("hidden"): "danger"}
# Columns that are not versioned and take effect when saved.
UNVERSIONED_COLUMNS = ("slug", "requires_consent")
STATE_BEFORE_SAVE = "persona_before"  # attribute of a request, from save_model to save_related


class PersonaAdmin(ModelAdmin):
    """The page of personas. `sessions.admin.embeds` registers it with what the sessions add."""

    form = PersonaForm
    change_form_before_template = "admin/avatars/persona_form.html"
    list_display = ("thumbnail", "name", "role", "language", "state", "version", "draft", "avatar")
    list_display_links = ("thumbnail", "name")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("hidden_at", admin.EmptyFieldListFilter),
        ("language", ChoicesDropdownFilter),
        ("avatar__account", RelatedDropdownFilter),
    )
    list_filter_submit = True
    list_select_related = ("avatar",)
    search_fields = ("name__folded", "role__folded", "summary__folded", "slug")
    prepopulated_fields = {"slug": ("name",)}
    autocomplete_fields = ("avatar", "voice", "knowledge_base")
    filter_horizontal = ()
    readonly_fields = ("state", "versions_shown", "missing", "last_check")
    fieldsets = (
        (None, {"fields": ("state", "versions_shown", "missing", "last_check")}),
        (
            _("Publication"),
            {
                "fields": (
                    "name",
                    "slug",
                    "role",
                    "summary",
                    "language",
                    "greeting",
                    "starters",
                    "groups",
                    "requires_consent",
                )
            },
        ),
        (_("Video and voice"), {"fields": ("avatar", "quality", *VOICE_FIELDS)}),
        (_("Knowledge and listening"), {"fields": LISTENING_FIELDS}),
        (_("Answers"), {"fields": BRAIN_FIELDS}),
        (_("Limits"), {"fields": ("duration_limit", "idle_timeout", "session_tokens", "day_tokens", "speech_days")}),
    )
    actions = ("publish", "unpublish")
    actions_detail: tuple[str, ...] = ("try_it", "publish_one", "unpublish_one", "versions")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.offers)
        return [path("offers/", view, name="avatars_persona_offers"), *super().get_urls()]

    def offers(self, request: HttpRequest) -> HttpResponse:
        """Return the form's options for an avatar. Called by the form's script."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        avatar, voice = (_requested_row(request, model) for model in (Avatar, Voice))
        return JsonResponse(form_options.options_for(avatar, voice) if avatar else {})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Persona]:
        last = PersonaVersion.objects.filter(persona=OuterRef("pk")).order_by("-number").values("number")[:1]
        rows: QuerySet[Persona] = super().get_queryset(request)
        return rows.annotate(newest_number=Subquery(last))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Persona | None:
        """Return the persona with its newest version, which is what staff see and edit."""
        found = super().get_object(request, object_id, from_field)
        return versions.as_draft(found) if found else None

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Offer only the actions that are possible now."""
        persona = super().get_object(request, object_id)  # None if the ID is no number
        found = persona if persona and persona.status == Persona.Status.PUBLISHED else None
        last = versions.newest(found) if found else None
        done = set() if found else {"unpublish_one"}
        if found and last and last == found.current and not found.hidden_at:
            done.add("publish_one")
        return [step for step in super().get_actions_detail(request, object_id) if step.path not in done]

    def get_readonly_fields(self, request: HttpRequest, obj: Persona | None = None) -> tuple[str, ...]:
        """Make fields that take effect at once read-only without permission to publish."""
        may_publish = obj is None or obj.status == Persona.Status.DRAFT or self.has_publish_permission(request)
        return self.readonly_fields if may_publish else (*self.readonly_fields, *sorted(UNVERSIONED_FIELDS))

    def get_fieldsets(self, request: HttpRequest, obj: Persona | None = None) -> Any:
        """Show the last check only to users who may change the persona: the audit log does not state it."""
        found = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj):
            return found
        (title, shown), *others = found
        return ((title, {**shown, "fields": tuple(name for name in shown["fields"] if name != "last_check")}), *others)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            label, roles_of_all = capfirst(db_field.verbose_name), Group.objects.order_by("pk")
            return RolesField(roles_of_all, required=False, label=label, help_text=db_field.help_text)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Persona | None = None) -> Any:
        return {} if obj else self.prepopulated_fields

    def has_publish_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(Permission.PUBLISH_PERSONA)

    def has_try_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(roles.TRY_PERSONA)

    def has_delete_permission(self, request: HttpRequest, obj: Persona | None = None) -> bool:
        """Allow deleting only single drafts that were never published."""
        return obj is not None and obj.published_at is None and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Persona, form: PersonaForm, change: bool) -> None:
        vars(request)[STATE_BEFORE_SAVE] = None
        if change:
            before = Persona.objects.select_for_update().get(pk=obj.pk)
            vars(request)[STATE_BEFORE_SAVE] = before, _groups(before), versions.group_rows(before)
            Persona.objects.filter(pk=obj.pk).update(**{name: getattr(obj, name) for name in UNVERSIONED_COLUMNS})
        last = versions.newest(obj) if change else None
        if last is None or versions.differences(last, obj):
            version = versions.save_version(obj, request.user.pk)
            if obj.status == Persona.Status.PUBLISHED:
                words = gettext("Saved as version %(number)d. Publish it to make it available to users.")
                self.message_user(request, words % {"number": version.number}, messages.WARNING)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        persona = form.instance
        before, groups_before, rows = vars(request)[STATE_BEFORE_SAVE] or (persona, [], [])
        changes, groups = change_log.diff(before, persona, UNVERSIONED_COLUMNS), _groups(persona)
        stated = statements.state(PERSONA, persona, *changes) if changes else {}
        if groups != groups_before:
            changes["groups"] = [groups_before, groups]
        stated = statements.merged(stated, versions.groups_changed(rows, persona))
        change_log.record(Actor.of(request), AuditEntry.Kind.PERSONA_CHANGED, persona, changes, stated)

    def delete_model(self, request: HttpRequest, obj: Persona) -> None:
        versions.delete(obj, Actor.of(request))

    @display(description=_("preview"))
    def thumbnail(self, persona: Persona) -> str:
        return preview_image(persona.avatar, 56)

    @display(description=_("status"), ordering="status", label=LABELS)
    def state(self, persona: Persona) -> str:
        return gettext("hidden") if persona.hidden_at else persona.get_status_display()

    @display(description=_("newer draft"))
    def draft(self, persona: Persona) -> str:
        number = vars(persona)["newest_number"]
        is_newer = persona.status == Persona.Status.PUBLISHED and number and number > persona.version
        return gettext("version %(number)d") % {"number": number} if is_newer else "–"

    @display(description=_("version"))
    def versions_shown(self, persona: Persona) -> str:
        """Return which version this page shows and which one is published."""
        stored = Persona.objects.filter(pk=persona.pk).first()
        if stored is None:
            return "–"
        shown = gettext("Here: version %(number)d.") % {"number": persona.version}
        if stored.status == Persona.Status.DRAFT:
            return f"{shown} {gettext('Not published yet.')}"
        return f"{shown} {gettext('Published: version %(number)d.') % {'number': stored.version}}"

    @display(description=_("missing for publishing"))
    def missing(self, persona: Persona) -> str:
        if not persona.pk:
            return "–"
        found = " ".join(chain.from_iterable(publishing.problems(persona).values())) or gettext("Nothing.")
        note = persona.spoken_turns_problem if persona.is_voice_enabled else ""
        return f"{found} {note}".strip()

    @display(description=_("last check"))
    def last_check(self, persona: Persona) -> str:
        check = persona.checks.first() if persona.pk else None
        return versions_page.describe_check(check) if check else "–"

    @admin.action(description=_("Publish selected personas"), permissions=["publish"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Persona]) -> None:
        for persona in queryset:
            self._publish(request, persona)

    @admin.action(description=_("Unpublish selected personas"), permissions=["publish"])
    def unpublish(self, request: HttpRequest, queryset: QuerySet[Persona]) -> None:
        for persona in queryset:
            self._unpublish(request, persona)

    @action(description=_("Try it"), url_path="try", permissions=["try"])
    def try_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the room page with the newest version in a frame."""
        persona: Persona = object_or_404(self, request, object_id)
        context = {"title": gettext("Try %(name)s") % {"name": persona}, "persona": persona, "opts": self.opts}
        context["missing"] = list(chain.from_iterable(publishing.problems(persona).values()))
        return render(request, "admin/avatars/try.html", self.admin_site.each_context(request) | context)

    @action(
        description=_("Publish"),
        permissions=["publish"],
        dialog=confirm_dialog(_("Publish this persona as saved?"), _("Publish")),
    )
    def publish_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        self._publish(request, object_or_404(self, request, object_id))
        return redirect_to_change_page(Persona, object_id)

    @action(
        description=_("Unpublish"),
        permissions=["publish"],
        dialog=confirm_dialog(_("Unpublish this persona? Running sessions continue."), _("Unpublish")),
    )
    def unpublish_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        self._unpublish(request, object_or_404(self, request, object_id))
        return redirect_to_change_page(Persona, object_id)

    @action(description=_("Versions"), url_path="versions", permissions=["view"])
    def versions(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show all versions, and restore one on POST."""
        persona = Persona.objects.select_related("current").get(pk=object_or_404(self, request, object_id).pk)
        if request.method == "POST":
            self._restore_version(request, persona)
            return redirect(request.path)
        context = self.admin_site.each_context(request) | {"opts": self.opts}
        context |= {"may_publish": self.has_publish_permission(request)}
        context |= {"may_change": self.has_change_permission(request, persona)}
        return versions_page.page(request, persona, context)

    def _restore_version(self, request: HttpRequest, persona: Persona) -> None:
        number = request.POST.get("publish") or request.POST.get("draft") or ""
        version = versions.with_number(persona, int(number)) if number.isdecimal() and len(number) < 9 else None
        if version is None:
            return
        if "publish" in request.POST and self.has_publish_permission(request):
            self._publish(request, persona, version)
        elif "draft" in request.POST and self.has_change_permission(request, persona):
            made = versions.save_version(versions.as_of(persona, version), request.user.pk)
            words = gettext("The draft is now version %(made)d, a copy of version %(number)d.")
            self.message_user(request, words % {"number": version.number, "made": made.number}, messages.SUCCESS)

    def _publish(self, request: HttpRequest, persona: Persona, version: PersonaVersion | None = None) -> None:
        if words := publish_button.publish(request, persona, version):
            self.log_change(request, persona, words)

    def _unpublish(self, request: HttpRequest, persona: Persona) -> None:
        publishing.unpublish(persona, actor=Actor.of(request))
        words = gettext("%(persona)s is no longer published.") % {"persona": persona}
        self.message_user(request, words, messages.SUCCESS)
        self.log_change(request, persona, words)


def _groups(persona: Persona) -> list[str]:
    return sorted(persona.groups.values_list("name", flat=True))


def _requested_row(request: HttpRequest, model: type[Any]) -> Any:
    pk = request.GET.get(model._meta.model_name or "", "")
    return model._default_manager.select_related("account").filter(pk=pk).first() if pk.isdecimal() else None


def badge(request: HttpRequest) -> str:
    """Return the menu entry's badge if a published persona is hidden."""
    return "!" if Persona.objects.filter(status=Persona.Status.PUBLISHED, hidden_at__isnull=False).exists() else ""
