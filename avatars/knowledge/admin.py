"""Knowledge bases in the admin: editing, versions, drift, import and export."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from avatars.catalogue.admin import AvatarPartAdmin
from avatars.knowledge import files
from avatars.knowledge import versions as knowledge_versions
from avatars.knowledge.files import KnowledgeText
from avatars.knowledge.forms import ImportForm, KnowledgeBaseForm
from avatars.models import KnowledgeBase, KnowledgeVersion
from heygen_portal.console.widgets import NoDelete, confirm_dialog, object_or_404, redirect_to_change_page
from heygen_portal.people.access import sudo
from heygen_portal.runtime import budgets, client_address
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry

VERSIONS_SHOWN = 50


@admin.register(KnowledgeBase)
class KnowledgeBaseAdmin(NoDelete, AvatarPartAdmin):
    """Admin of knowledge bases.

    Texts that the provider refuses are not stored here either.
    """

    form = KnowledgeBaseForm
    change_form_before_template = "admin/avatars/knowledge_form.html"
    list_display = ("name", "account", "version", "drift", "news", "last_seen_at")
    fields = ("drift", "name", "account", "provider_knowledge_base_id", "opening", "prompt", "last_seen_at", "gone_at")
    readonly_fields = ("drift", "provider_knowledge_base_id", "last_seen_at", "gone_at")
    actions = ("export_files",)
    actions_list = ("import_files",)
    actions_detail = ("versions", "remove")

    def get_queryset(self, request: HttpRequest) -> QuerySet[KnowledgeBase]:
        return knowledge_versions.annotate_drift(super().get_queryset(request))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> KnowledgeBase | None:
        """Return the base with the texts saved here, which is what staff see and edit."""
        found = super().get_object(request, object_id, from_field)
        return knowledge_versions.with_newest_texts(found) if found else None

    def get_readonly_fields(self, request: HttpRequest, obj: KnowledgeBase | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "account") if obj else self.readonly_fields

    def has_change_permission(self, request: HttpRequest, obj: KnowledgeBase | None = None) -> bool:
        return (obj is None or obj.gone_at is None) and super().has_change_permission(request, obj)

    def has_remove_permission(self, request: HttpRequest, object_id: str) -> bool:
        return super().has_change_permission(request)

    def has_import_permission(self, request: HttpRequest) -> bool:
        """Require the permissions to add and to change knowledge bases."""
        return self.has_add_permission(request) and self.has_change_permission(request)

    def save_model(self, request: HttpRequest, obj: KnowledgeBase, form: KnowledgeBaseForm, change: bool) -> None:
        if form.has_changed():
            knowledge_versions.save_version(obj, request.user.pk)

    @display(description=_("at the provider"), label={_("different"): "danger", _("identical"): "success"})
    def drift(self, base: KnowledgeBase) -> str:
        if not base.version:
            return gettext("written at the provider")
        return gettext("different") if vars(base).get("has_drifted") else gettext("identical")

    @action(description=_("Versions"), url_path="versions", permissions=["view"])
    def versions(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show versions and drift.

        On POST, store a version at the provider or accept the provider's texts.
        """
        base = KnowledgeBase.objects.select_related("account").get(pk=object_or_404(self, request, object_id).pk)
        may_change = self.has_change_permission(request, base)
        if request.method == "POST":
            if not may_change:
                raise PermissionDenied
            self._resolve_drift(request, base)
            return redirect(request.path)
        rows: list[KnowledgeVersion] = list(base.versions.select_related("saved_by")[: VERSIONS_SHOWN + 1])
        pairs = zip(rows, [*rows, None][1:], strict=True)
        context = {
            "title": gettext("Versions of %(name)s") % {"name": base},
            "base": base,
            "drift": knowledge_versions.drift(base),
            "rows": [(row, knowledge_versions.differences(last, row) if last else None) for row, last in pairs][
                :VERSIONS_SHOWN
            ],
            "may_change": may_change,
            "opts": self.opts,
        }
        return render(request, "admin/avatars/knowledge_versions.html", self.admin_site.each_context(request) | context)

    def _resolve_drift(self, request: HttpRequest, base: KnowledgeBase) -> None:
        number = request.POST.get("push", "")
        version = base.versions.filter(number=int(number)).first() if number.isdecimal() and len(number) < 9 else None
        resolve: Callable[[], KnowledgeVersion] | None = None
        if version:
            resolve = partial(knowledge_versions.push, base, version, request.user.pk)
        elif "accept" in request.POST:
            resolve = partial(knowledge_versions.accept_provider_texts, base, request.user.pk)
        if resolve is None:
            return
        try:
            saved = resolve()
        except ValidationError as exc:
            self.message_user(request, " ".join(exc.messages), messages.ERROR)
        else:
            words = gettext("Here and at the provider: version %(number)d.") % {"number": saved.number}
            self.message_user(request, words, messages.SUCCESS)
            self.log_change(request, base, words)

    @admin.action(description=_("Export as Markdown"), permissions=["view"])
    @sudo.required
    def export_files(self, request: HttpRequest, queryset: QuerySet[KnowledgeBase]) -> HttpResponse:
        budgets.spend_sync("export", person=request.user.pk, address=client_address.of(request))
        bases = [knowledge_versions.with_newest_texts(base) for base in queryset]
        about = bases[0] if len(bases) == 1 else KnowledgeBase._meta.verbose_name_plural
        exported = {str(base.pk): base.name for base in bases}
        audit_log.record(request, AuditEntry.Kind.KNOWLEDGE_EXPORTED, about, count=len(bases), bases=exported)
        texts = [KnowledgeText(base.name, base.opening, base.prompt) for base in bases]
        if len(texts) == 1:
            content: str | bytes = files.as_markdown(texts[0])
            name, kind = files.file_name(texts[0]), "text/markdown; charset=utf-8"
        else:
            content, name, kind = files.as_zip(texts), "knowledge.zip", "application/zip"
        return HttpResponse(
            content,
            content_type=kind,
            headers={"Content-Disposition": content_disposition_header(True, name), "Cache-Control": "no-store"},
        )

    @action(description=_("Import Markdown"), url_path="import", permissions=["import"])
    def import_files(self, request: HttpRequest) -> HttpResponse:
        form = ImportForm(request.POST or None, request.FILES or None)
        if not form.is_valid():
            context = {"title": gettext("Import Markdown"), "form": form, "opts": self.opts}
            return render(
                request, "admin/avatars/knowledge_import.html", self.admin_site.each_context(request) | context
            )
        self._import(request, form)
        return redirect("admin:avatars_knowledgebase_changelist")

    def _import(self, request: HttpRequest, form: ImportForm) -> None:
        """Import each file separately, so that a refused one does not block the others."""
        changed, imported = 0, form.cleaned_data["file"]
        for texts in imported.texts:
            try:
                changed += knowledge_versions.import_texts(form.cleaned_data["account"], texts, request.user.pk)
            except ValidationError as exc:
                self.message_user(request, f"{texts.name}: {' '.join(exc.messages)}", messages.ERROR)
        for notice in imported.notices:
            self.message_user(request, notice, messages.WARNING)
        words = ngettext("%(count)d knowledge base was imported.", "%(count)d knowledge bases were imported.", changed)
        self.message_user(request, words % {"count": changed}, messages.SUCCESS if changed else messages.WARNING)

    @action(
        description=_("Delete at the provider"),
        permissions=["remove"],
        dialog=confirm_dialog(
            _("Delete it permanently at the provider? Conversations that used it are kept here."),
            _("Delete at the provider"),
        ),
    )
    def remove(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        base: KnowledgeBase = object_or_404(self, request, object_id)
        try:
            knowledge_versions.delete_at_provider(base)
        except ValidationError as exc:
            self.message_user(request, " ".join(exc.messages), messages.ERROR)
        else:
            words = gettext("%(base)s was deleted at the provider.") % {"base": base}
            self.message_user(request, words, messages.SUCCESS)
            self.log_change(request, base, words)
        return redirect_to_change_page(KnowledgeBase, object_id)
