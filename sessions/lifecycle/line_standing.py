"""The standing of transcript lines.

A line was sent by the portal, comes from the provider, or was only reported by a browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _

from sessions.lifecycle.event_kinds import EventKind
from sessions.models import SessionEvent, SessionTask, Utterance

Source = SessionEvent.Source
# The event with the result of reading the provider's record. Its `confirmed` maps the IDs of reported lines to those of
# the provider's lines that confirm them.
RECORD = EventKind.PROVIDER_RECORD


class Standing(models.TextChoices):
    """Where a line comes from, and whether the provider's transcript has it."""

    SENT = "sent", _("Sent by the portal")
    NOT_DELIVERED = "not_delivered", _("Delivery to the avatar not confirmed")
    PROVIDER = "provider", _("Provider’s transcript")
    CONFIRMED = "confirmed", _("Reported by the browser, confirmed by the provider")
    BROWSER = "browser", _("Reported by the browser only")
    CONTRADICTED = "contradicted", _("Reported by the browser, not in the provider’s transcript")


UNCONFIRMED = (Standing.BROWSER, Standing.CONTRADICTED, Standing.NOT_DELIVERED)
Rows = TypeVar("Rows", bound=Iterable[Utterance])


def set_standing(rows: Rows) -> Rows:
    """Set `standing` on each line and return the lines. At most two queries."""
    _set_standing(rows)
    return rows


def undelivered(rows: Iterable[Utterance]) -> set[int]:
    """Return the IDs of typed lines that the provider has not accepted.

    At most one query. A line and its task are stored together with the same time. The task's status is part of the
    chained record.
    """
    typed = [row for row in rows if row.source == Source.PORTAL]
    if not typed:
        return set()
    times = [row.at for row in typed]
    # Only the few that were not accepted are read, so that every batch of a long session costs the same.
    waiting = SessionTask.objects.exclude(status=SessionTask.Status.SENT).filter(
        session__in={row.session_id for row in typed}, created_at__gte=min(times), created_at__lte=max(times)
    )
    lost = set(waiting.values_list("session", "created_at", "kind"))
    return {row.pk for row in typed if (row.session_id, row.at, row.kind) in lost}


def without_confirmed(lines: models.QuerySet[Utterance], session_id: UUID) -> models.QuerySet[Utterance]:
    """Exclude the reported lines of a session that the provider's own lines confirm."""
    record = _records({session_id}).get(session_id)
    return lines.exclude(pk__any_of=list(record.confirmed)) if record and record.confirmed else lines


def for_reading(rows: Sequence[Utterance]) -> list[Utterance]:
    """Return lines for readers, each with its standing.

    A confirmed line appears once, in the provider's words. Only the browser knows where the avatar was interrupted,
    so that is taken from its report. `rows` may be a batch of a session's lines.
    """
    by_id = {row.pk: row for row in rows}
    claimed_of = {by[-1]: claimed for claimed, by in _set_standing(rows).items() if by and by[-1] in by_id}
    elsewhere = [claimed for claimed in claimed_of.values() if claimed not in by_id]
    if elsewhere:
        cut = Utterance.objects.filter(pk__any_of=elsewhere, is_interrupted=True)
        by_id |= {row.pk: row for row in cut}
    for confirming, claimed_id in claimed_of.items():
        claimed, line = by_id.get(claimed_id), by_id[confirming]
        if claimed and claimed.is_interrupted:
            line.is_interrupted, line.heard = True, claimed.shown
    return [row for row in rows if row.standing != Standing.CONFIRMED]


def for_pages(rows: Sequence[Utterance]) -> list[Utterance]:
    """Return lines for a room's page, without duplicates of reported lines.

    The provider's own line is left out if it confirms a line that the page reported.
    """
    doubled = {pk for confirming in _set_standing(rows).values() for pk in confirming}
    return [row for row in rows if row.pk not in doubled]


def _set_standing(rows: Iterable[Utterance]) -> dict[int, list[int]]:
    """Set the standing of each line.

    Return the IDs of the provider's lines that confirm each confirmed line.
    """
    records = _records({row.session_id for row in rows if row.source != Source.PORTAL})
    confirmed = {pk: by for record in records.values() for pk, by in record.confirmed.items()}
    reported = {pk for by in confirmed.values() for pk in by}
    not_delivered = undelivered(rows)
    for row in rows:
        if row.source == Source.PORTAL:
            row.standing = Standing.NOT_DELIVERED if row.pk in not_delivered else Standing.SENT
        elif row.source != Source.BROWSER:
            row.standing = Standing.PROVIDER
        elif row.pk in confirmed:
            row.standing = Standing.CONFIRMED
        else:
            record = records.get(row.session_id)
            row.standing = Standing.CONTRADICTED if record and record.has_lines else Standing.BROWSER
        row.is_unreported = row.source == Source.PROVIDER and row.pk not in reported
    return confirmed


@dataclass(frozen=True)
class ProviderRecord:
    """What a PROVIDER_RECORD event says about the lines of its session."""

    has_lines: bool
    # IDs of reported lines, each with those of the provider's lines that confirm it.
    confirmed: Mapping[int, list[int]]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self | None:
        """Read an event's data. Return None if it is damaged, or from before lines were compared."""
        stored = data.get("confirmed")
        if not isinstance(stored, dict):
            return None
        confirmed = {pk: by for text, by in stored.items() if (pk := _row_id(text)) and _are_row_ids(by)}
        return cls(bool(data.get("lines")), confirmed) if len(confirmed) == len(stored) else None


def _row_id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and int(text) < 2**63 else None


def _are_row_ids(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and 0 < each < 2**63 for each in value)


def _records(session_ids: set[UUID]) -> dict[UUID, ProviderRecord]:
    """Return the latest readable provider record per session."""
    if not session_ids:
        return {}
    rows = SessionEvent.objects.filter(session__in=session_ids, kind=RECORD, source=Source.PROVIDER)
    readings = rows.order_by("session", "number").values_list("session", "data")
    return {session_id: record for session_id, data in readings if (record := ProviderRecord.of(data))}
