"""Exports: who requested which data, from where, and why."""

from __future__ import annotations

import uuid
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text.model_fields import ChoiceField, LimitedCharField
from sessions.models.conversations import StreamingSession


class Export(models.Model):
    """One export and, for a large one, the job that writes its file.

    The file is deleted, the row is kept.
    """

    class What(models.TextChoices):
        SESSIONS = "sessions", _("Sessions, one per row")
        EVENTS = "events", _("Events, one per row")
        LINES = "lines", _("Transcripts, one line per row")
        RECORD = "record", _("One session with all its data")

    class Format(models.TextChoices):
        CSV = "csv", _("CSV with commas")
        # For spreadsheets in languages with a decimal comma, which otherwise show each row in one column.
        CSV_SEMICOLONS = "csv2", _("CSV with semicolons (Excel in Spanish and similar languages)")
        XLSX = "xlsx", "Excel"
        JSONL = "jsonl", "JSON Lines"
        JSON = "json", "JSON"
        PAGE = "html", _("printable page")
        VTT = "vtt", "WebVTT"

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        WRITING = "writing", _("being written")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")
        SENT = "sent", _("sent")
        CUT_OFF = "cut_off", _("cut off")
        EXPIRED = "expired", _("file deleted")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("requested by")
    )
    asked_from = models.GenericIPAddressField(_("from"), null=True, blank=True)
    asked_at = models.DateTimeField(_("requested"), default=timezone.now)
    # Why texts were needed. Without a reason the export has none.
    reason = LimitedCharField(_("reason"), max_characters=500, blank=True)
    what = ChoiceField(_("contents"), max_length=10, choices=What)
    format = ChoiceField(_("format"), max_length=10, choices=Format)
    session = models.ForeignKey(
        StreamingSession, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("session")
    )
    # The list's filters, as in the query string.
    filters = stored_json.ObjectField(_("filters"), default=dict, blank=True)

    state = ChoiceField(_("status"), max_length=10, choices=State)
    rows_total = models.PositiveIntegerField(_("rows to write"), null=True, blank=True)
    rows_done = models.PositiveIntegerField(_("rows"), default=0)
    # Where to continue after a crash: the key of the last row in the file, and the file's length up to it.
    last_key = models.JSONField(null=True, blank=True, editable=False)
    written = models.PositiveBigIntegerField(_("bytes"), default=0)
    touched_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("file available until"), null=True, blank=True)

    class Meta:
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        ordering = ("-asked_at",)
        indexes = (
            models.Index("touched_at", name="export_to_write", condition=Q(state__in=("waiting", "writing"))),
            models.Index("expires_at", name="export_to_expire", condition=Q(state="ready")),
        )
        constraints = (
            models.CheckConstraint(condition=~Q(what="lines", reason=""), name="transcripts_are_taken_for_a_reason"),
            models.CheckConstraint(
                condition=Q(what="record") ^ Q(session__isnull=True), name="record_export_names_its_session"
            ),
        )

    def __str__(self) -> str:
        return str(self.id)

    @property
    def scratch(self) -> Path:
        """The folder for the writer's temporary files; removed with the file."""
        return self.path.with_suffix(".tmp")

    @property
    def path(self) -> Path:
        """The path of its file. No URL serves it directly."""
        return Path(settings.MEDIA_ROOT) / "exports" / f"{self.id}.{self.format}"

    @property
    def file_name(self) -> str:
        """The name of the downloaded file."""
        about = self.session_id or self.asked_at.strftime("%Y-%m-%dT%H%M%z")
        extension = self.Format.CSV if self.format == self.Format.CSV_SEMICOLONS else self.format
        return f"{self.what}-{about}.{extension}"
