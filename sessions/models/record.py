"""Heads and seals, which make the record verifiable, and integrity checks."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime import stored_json
from heygen_portal.trail import signing
from sessions.models.conversations import SessionEvent, StreamingSession


class SessionHead(models.Model):
    """Signed number and hash of a session's newest event.

    Truncation shows even while the session runs. It only moves forward.
    """

    session = models.OneToOneField(
        StreamingSession, models.PROTECT, primary_key=True, related_name="head", verbose_name=_("session")
    )
    number = models.PositiveIntegerField(_("events"))
    hash = models.CharField(max_length=64)
    signature = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("record head")
        verbose_name_plural = _("record heads")

    def __str__(self) -> str:
        return f"{self.session_id} {self.number}"

    @classmethod
    def of(cls, event: SessionEvent) -> Self:
        signature = cls.sign(event.session_id, event.number, event.hash)
        return cls(session_id=event.session_id, number=event.number, hash=event.hash, signature=signature)

    @staticmethod
    def sign(session_id: UUID | str, number: int, last_hash: str) -> str:
        """Sign a head. A seal's signature is not valid for it."""
        return signing.sign("head", session_id, number, last_hash)

    @staticmethod
    def is_signed(signature: str, session_id: UUID | str, number: int, last_hash: str) -> bool:
        """Whether `sign` made this signature, with the current key or a retired one."""
        return signing.is_signed(signature, "head", session_id, number, last_hash)


class SessionSeal(models.Model):
    """Signed length and last hash of a session's record at its end. Append-only.

    Events after the end (the provider's own record, an erasure) are sealed again.
    """

    session = models.ForeignKey(StreamingSession, models.PROTECT, related_name="seals", verbose_name=_("session"))
    number = models.PositiveIntegerField(_("events"))
    hash = models.CharField(max_length=64)
    signature = models.CharField(max_length=64)
    at = models.DateTimeField(_("time"), default=timezone.now)

    class Meta:
        verbose_name = _("seal")
        verbose_name_plural = _("seals")
        ordering = ("session_id", "number")
        constraints = (models.UniqueConstraint("session", "number", name="seal_once_per_length"),)

    def __str__(self) -> str:
        return f"{self.session_id} {self.number}"

    @classmethod
    def of(cls, event: SessionEvent) -> Self:
        at = timezone.now()
        signature = cls.sign(event.session_id, event.number, event.hash, at.isoformat())
        return cls(session_id=event.session_id, number=event.number, hash=event.hash, signature=signature, at=at)

    TIME_SIGNED_PREFIX = "2:"  # of signatures that cover the seal's time, too

    @classmethod
    def sign(cls, session_id: UUID | str, number: int, last_hash: str, at: str) -> str:
        """Sign a seal and its time."""
        return cls.TIME_SIGNED_PREFIX + signing.sign("seal", session_id, number, last_hash, at)

    @classmethod
    def is_time_signed(cls, signature: str) -> bool:
        return signature.startswith(cls.TIME_SIGNED_PREFIX)

    @classmethod
    def is_signed(cls, signature: str, session_id: UUID | str, number: int, last_hash: str, at: str) -> bool:
        """Whether this portal made this signature, with the current key or a retired one."""
        if cls.is_time_signed(signature):
            signed = signature.removeprefix(cls.TIME_SIGNED_PREFIX)
            return signing.is_signed(signed, "seal", session_id, number, last_hash, at)
        return signing.is_signed(signature, session_id, number, last_hash)


class HistoryCheck(models.Model):
    """One integrity check of the record."""

    started_at = models.DateTimeField(_("started"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    sessions = models.PositiveIntegerField(_("sessions"), default=0)
    events = models.PositiveBigIntegerField(_("events"), default=0)
    entries = models.PositiveIntegerField(_("audit entries"), default=0)
    anchors = models.PositiveIntegerField(_("anchors"), default=0)
    rows = models.PositiveBigIntegerField(_("rows read"), default=0)
    # From `scope.CheckCounts.covered`: rows read of each table, and since when its columns are covered.
    covered = stored_json.ObjectField(_("covers"), default=dict, blank=True)
    # The first hundred, from `Fault.as_data`.
    faults = stored_json.ListField(_("problems found"), default=list, blank=True)
    fault_count = models.PositiveIntegerField(_("problems"), default=0)

    class Meta:
        verbose_name = _("integrity check")
        verbose_name_plural = _("integrity checks")
        ordering = ("-started_at",)

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M}"
