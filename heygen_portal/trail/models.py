"""Audit log: what staff and administrators did outside of sessions."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text.model_fields import ChoiceField
from heygen_portal.trail import hash_chain


class AuditEntry(models.Model):
    """A change of access, keys or settings, or an export of data.

    Append-only: each row holds the previous row's hash.
    """

    class Kind(models.TextChoices):
        ACCESS_CHANGED = "access_changed", _("access changed")
        PASSWORD_SET = "password_set", _("password set")
        KEY_SET = "key_set", _("provider key set")
        SESSIONS_STOPPED = "sessions_stopped", _("sessions stopped")
        EXPORTED = "exported", _("exported")
        SEARCHED = "searched", _("transcripts searched")
        INVITED = "invited", _("user invited")
        INVITATION_REVOKED = "invitation_revoked", _("invitation withdrawn")
        JOINED = "joined", _("invitation accepted")
        SECOND_FACTOR_ON = "second_factor_on", _("second factor set up")
        SECOND_FACTOR_OFF = "second_factor_off", _("second factor removed")
        ACCOUNT_CHANGED = "account_changed", _("provider account changed")
        MODEL_CHANGED = "model_changed", _("model service changed")
        MODEL_KEY_SET = "model_key_set", _("key of a model service set")
        TOOL_CHANGED = "tool_changed", _("tool changed")
        TOOL_SECRET_SET = "tool_secret_set", _("secret of a tool set")
        PUBLISHED = "published", _("persona published")
        ROLLED_BACK = "rolled_back", _("persona rolled back")
        UNPUBLISHED = "unpublished", _("persona unpublished")
        PERSONA_CHANGED = "persona_changed", _("persona address or groups changed")
        TESTS_CHANGED = "tests_changed", _("tests of a persona changed")
        QUOTA_CHANGED = "allowance_changed", _("quota changed")
        PERSONAL_DATA = "personal_data", _("personal data exported")
        ANCHORED = "anchored", _("anchored")
        EXPORT_STATE = "export_state", _("export state changed")
        RECORD_CHECKED = "record_checked", _("integrity checked")
        RECORD_UPGRADED = "record_upgraded", _("rows of an earlier version covered")
        ORGANISATION_CHANGED = "organisation_changed", _("organisation changed")
        KNOWLEDGE_EXPORTED = "knowledge_exported", _("knowledge bases exported")
        ACCOUNT_CLOSED = "account_closed", _("account closed")
        VERSION_SAVED = "version_saved", _("persona version saved")
        PERSONA_DELETED = "persona_deleted", _("persona draft deleted")
        KNOWLEDGE_SAVED = "knowledge_saved", _("knowledge base saved")
        CATALOGUE_SYNCED = "catalogue_synced", _("catalogue changed at the provider")
        ROWS_ACCEPTED = "rows_accepted", _("changed rows accepted")
        VIDEO_ORDERED = "video_ordered", _("recorded video ordered")
        VIDEO_STATE = "video_state", _("state of a recorded video changed")
        API_KEY_CREATED = "api_key_created", _("API key created")
        API_KEY_REPLACED = "api_key_replaced", _("API key replaced")
        API_KEY_REVOKED = "api_key_revoked", _("API key revoked")
        WEBHOOK_CHANGED = "webhook_changed", _("webhook changed")
        WEBHOOK_SECRET_SET = "webhook_secret_set", _("webhook secret set")
        EMBED_CHANGED = "embed_changed", _("embedding of a persona changed")
        GUEST_LINK_CHANGED = "guest_link_changed", _("guest link changed")
        GUEST_REFUSED = "guest_refused", _("guest refused")
        LIBRARY_CHANGED = "library_changed", _("library changed")
        PICTURE_REFUSED = "picture_refused", _("picture of the brand refused")

    number = models.PositiveIntegerField(_("number"), unique=True)
    at = models.DateTimeField(_("time"), default=timezone.now)
    kind = ChoiceField(_("kind"), max_length=20, choices=Kind)
    # None for a command on the server.
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("done by")
    )
    address = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    about = models.CharField(_("about"), max_length=200)
    data = stored_json.ObjectField(_("data"), default=dict)
    # Checksums of HASHED_COLUMNS: they tell which column was changed.
    prints = models.CharField(max_length=60, default="", db_default="", editable=False)
    previous_hash = models.CharField(max_length=64, editable=False)
    hash = models.CharField(max_length=64, editable=False)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ("-number",)

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"

    HASHED_COLUMNS = ("kind", "by", "address", "about", "data", "at")
    """Columns that the checksums cover, in their order."""

    def hashed_values(self) -> list[str]:
        values = (str(self.kind), self.by_id, self.address, self.about, self.data, self.at.isoformat())
        return [hash_chain.canonical(value) for value in values]

    def compute_hash(self) -> None:
        """Set checksums and hash. `number` and `previous_hash` must be set."""
        self.prints = hash_chain.checksums(*self.hashed_values())
        self.hash = self.digest()

    def digest(self) -> str:
        """Return the SHA-256 of the entry's content, number and previous hash."""
        values = (str(self.kind), self.by_id, self.address, self.about, self.data, self.at.isoformat())
        return self.hash_of(self.previous_hash, self.number, values, self.prints)

    @staticmethod
    def hash_of(previous_hash: str, number: int, values: tuple[Any, ...], prints: str) -> str:
        """Return the hash of these values.

        `prints` is empty for entries older than checksums.
        """
        everything = [previous_hash, number, *values, *([prints] if prints else [])]
        return hashlib.sha256(hash_chain.canonical(everything).encode("utf-8", "surrogatepass")).hexdigest()


class AuditHead(models.Model):
    """The newest entry's number and hash, signed: shows deleted entries.

    One row whose number only grows. Appending locks it.
    """

    number = models.PositiveIntegerField(_("number"), default=0)
    hash = models.CharField(max_length=64, blank=True)
    signature = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("audit log head")
        verbose_name_plural = _("audit log heads")

    def __str__(self) -> str:
        return str(self.number)
