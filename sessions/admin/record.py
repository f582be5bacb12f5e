"""Integrity checks, legal holds and erasures in the admin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from heygen_portal.console.durations import readable_duration
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import NoDelete, ReadOnly
from heygen_portal.people.access import sudo
from heygen_portal.permissions import Permission
from heygen_portal.runtime import client_address, stored_json
from heygen_portal.runtime.generics import AnyModelForm
from sessions.integrity.fault import TABLE_NAMES, Fault
from sessions.integrity.scope import Coverage
from sessions.models import Erasure, HistoryCheck, LegalHold, ProviderErasure, StreamingSession
from sessions.retention import erasure


@admin.register(HistoryCheck)
class HistoryCheckAdmin(ReadOnly, ModelAdmin):
    """Results of the nightly integrity checks."""

    empty_words = _(
        "The record is checked every night and by manage.py verify_history. The nightly results appear here."
    )
    list_display = ("started_at", "state", "rows", "sessions", "events", "entries", "anchors", "duration_text")
    fields = (
        "started_at", "state", "rows", "rows_by_table", "sessions", "events", "entries", "anchors", "duration_text",
        "coverage", "problems",
    )  # fmt: skip
    readonly_fields = ("state", "rows_by_table", "duration_text", "coverage", "problems")

    @display(description=_("result"), label={_("intact"): "success", _("problems found"): "danger"})
    def state(self, check: HistoryCheck) -> str:
        return gettext("problems found") if check.fault_count else gettext("intact")

    @display(description=_("duration"))
    def duration_text(self, check: HistoryCheck) -> str:
        return readable_duration(check.ended_at - check.started_at if check.ended_at else None)

    @display(description=_("rows read per table"))
    def rows_by_table(self, check: HistoryCheck) -> str:
        covered = Coverage.of(check.covered)
        if covered is None:
            return stored_json.label(check.covered)
        values = sorted((str(TABLE_NAMES.get(table, table)), count) for table, count in covered.rows.items())
        return "; ".join(f"{table}: {formats.localize(count)}" for table, count in values) or "–"

    @display(description=_("coverage"))
    def coverage(self, check: HistoryCheck) -> Any:
        return format_html_join("", "<p>{}</p>", ((line,) for line in _coverage(check.covered))) or "–"

    @display(description=_("problems found"))
    def problems(self, check: HistoryCheck) -> Any:
        found = [(stored, Fault.from_data(stored)) for stored in check.faults]
        lines = [(fault.description() if fault else stored_json.label(stored),) for stored, fault in found]
        return format_html_join("", "<p>{}</p>", lines) or "–"


def _coverage(stored: dict[str, Any]) -> Iterator[str]:
    """Yield what a check covered only partly, or only since some date."""
    if not stored:
        return  # a check of an earlier version
    if (covered := Coverage.of(stored)) is None:
        yield stored_json.label(stored)
        return
    if older := covered.older_sessions:
        words = gettext(
            "Sessions of earlier versions that are only partly covered: %(count)d. Run manage.py upgrade_record."
        )
        yield words % {"count": older}
    if covered.since:
        words = gettext("Rows of earlier versions are covered since %(at)s.")
        yield words % {"at": max(covered.since.values())}
    if covered.unstated:
        columns = ", ".join(f"{name} ({count})" for name, count in sorted(covered.unstated.items()))
        yield gettext("Columns not covered, with their number of rows: %(columns)s") % {"columns": columns}
    else:
        yield gettext("All columns shown to auditors are covered.")


@admin.register(LegalHold)
class LegalHoldAdmin(NoDelete, ModelAdmin):
    """Sessions whose speech must not be erased."""

    list_display = ("at", "session", "reason", "by", "released_at", "released_by")
    list_select_related = ("session", "by", "released_by")
    fields = ("session", "reason")
    raw_id_fields = ("session",)
    actions = ("release",)

    def has_change_permission(self, request: HttpRequest, obj: LegalHold | None = None) -> bool:
        """Return False, because a hold can only be released."""
        return False

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(Permission.CHANGE_LEGAL_HOLD)

    def save_model(self, request: HttpRequest, obj: LegalHold, form: Any, change: bool) -> None:
        legal_hold = erasure.hold(obj.session_id, obj.reason, request.user.pk or 0, client_address.of(request))
        obj.pk, obj.by_id = legal_hold.pk, legal_hold.by_id

    @admin.action(description=_("Release"), permissions=["release"])
    def release(self, request: HttpRequest, queryset: QuerySet[LegalHold]) -> None:
        for legal_hold in queryset:
            erasure.release(legal_hold, request.user.pk or 0, client_address.of(request))
        self.message_user(request, gettext("Legal holds released."))


class ErasureForm(AnyModelForm):
    class Meta:
        model = Erasure
        fields = ("session",)

    def clean_session(self) -> StreamingSession:
        session: StreamingSession = self.cleaned_data["session"]
        if not erasure.erasable().filter(pk=session.pk).exists():
            raise forms.ValidationError(_("It is still running, under a legal hold, or has nothing left to erase."))
        return session


@admin.register(Erasure)
class ErasureAdmin(sudo.SudoToSave, NoDelete, ModelAdmin):
    """Receipts of erasures. Adding one permanently erases a session's speech."""

    list_display = ("at", "session", "cause", "by", "lines", "provider_result")
    list_select_related = ("session", "by", "carried")
    form = ErasureForm
    fields = ("session", "at", "cause", "by", "lines", "hash", "provider_result")
    readonly_fields = ("provider_result",)
    raw_id_fields = ("session",)

    @display(description=_("at the provider"))
    def provider_result(self, receipt: Erasure) -> str:
        provider_erasure: ProviderErasure | None = getattr(receipt, "carried", None)
        if provider_erasure is None:
            return receipt.get_at_provider_display()
        values = {
            "at": formats.date_format(timezone.localtime(provider_erasure.done_at), "DATETIME_FORMAT")
            if provider_erasure.done_at
            else "",
            "count": provider_erasure.attempts,
            "failure": provider_erasure.failure,
        }
        if provider_erasure.done_at:
            return gettext("also deleted at the provider: %(at)s") % values
        if provider_erasure.failure:
            return gettext("not deleted yet, %(count)s attempts, last error: %(failure)s") % values
        return receipt.get_at_provider_display()

    def has_change_permission(self, request: HttpRequest, obj: Erasure | None = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Erasure | None = None) -> Any:
        return self.fields if obj else ("session",)

    def save_model(self, request: HttpRequest, obj: Erasure, form: Any, change: bool) -> None:
        receipt = erasure.erase(obj.session_id, Erasure.Cause.STAFF, request.user.pk, client_address.of(request))
        if receipt is None:
            raise PermissionDenied  # a hold was added after the form was shown
        vars(obj).update(vars(receipt))


def badge(request: HttpRequest) -> str:
    """Return the menu entry's badge if the last check found problems."""
    # Only this column: tampering may have left others that cannot be read.
    return "!" if HistoryCheck.objects.values_list("fault_count", flat=True).first() else ""
