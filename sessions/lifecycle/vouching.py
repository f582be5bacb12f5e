"""Who vouches for a line of the transcript: the portal, the provider, or nobody but the browser that reported it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _

from sessions.lifecycle.event_kinds import EventKind
from sessions.models import SessionEvent, SessionTask, Utterance

Source = SessionEvent.Source
RECORD = EventKind.PROVIDER_RECORD
"""The event that tells what the provider's own record had; `confirmed` names the reported lines that it has too."""


class Standing(models.TextChoices):
    """Where a line comes from, and what the provider's transcript says of it."""

    SENT = "sent", _("Sent by the portal")
    NOT_DELIVERED = "not_delivered", _("Delivery to the avatar not confirmed")
    PROVIDER = "provider", _("Provider’s transcript")
    CONFIRMED = "confirmed", _("Reported by the browser, confirmed by the provider")
    BROWSER = "browser", _("Reported by the browser only")
    CONTRADICTED = "contradicted", _("Reported by the browser, not in the provider’s transcript")


UNCONFIRMED = (Standing.BROWSER, Standing.CONTRADICTED, Standing.NOT_DELIVERED)
Rows = TypeVar("Rows", bound=Iterable[Utterance])


def mark(rows: Rows) -> Rows:
    """Set the standing of each line; return the lines. At most two queries."""
    _mark(rows)
    return rows


def undelivered(rows: Iterable[Utterance]) -> set[int]:
    """Return the IDs of typed lines that the provider has not accepted. At most one query.

    A line and its task are stored together, with the same time. The task's status is part of the chained record.
    """
    typed = [row for row in rows if row.source == Source.PORTAL]
    if not typed:
        return set()
    times = [row.at for row in typed]
    # Only the few that were not accepted are read, so that a part of a long session costs what the first part did.
    waiting = SessionTask.objects.exclude(status=SessionTask.Status.SENT).filter(
        session__in={row.session_id for row in typed}, created_at__gte=min(times), created_at__lte=max(times)
    )
    lost = set(waiting.values_list("session", "created_at", "kind"))
    return {row.pk for row in typed if (row.session_id, row.at, row.kind) in lost}


def without_confirmed(lines: models.QuerySet[Utterance], session_id: UUID) -> models.QuerySet[Utterance]:
    """Leave out the reported lines of a session that the provider's own lines confirm."""
    confirmed = _records({session_id}).get(session_id, {}).get("confirmed", {})
    return lines.exclude(pk__any_of=[int(pk) for pk in confirmed]) if confirmed else lines


def for_reading(rows: Sequence[Utterance]) -> list[Utterance]:
    """Return marked lines as people read them: what the provider confirmed stands once, in the provider's words.

    Where it was interrupted the browser knows. `rows` may be a part of a session.
    """
    by_id = {row.pk: row for row in rows}
    claimed_of = {by[-1]: claimed for claimed, by in _mark(rows).items() if by and by[-1] in by_id}
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
    """Return marked lines as a room's page knows them: its own, those that the provider confirmed among them."""
    doubled = {pk for confirming in _mark(rows).values() for pk in confirming}
    return [row for row in rows if row.pk not in doubled]


def _mark(rows: Iterable[Utterance]) -> dict[int, list[int]]:
    """Set the standing of each line; return by which of the provider's lines each confirmed one is confirmed."""
    records = _records({row.session_id for row in rows if row.source != Source.PORTAL})
    confirmed = {int(pk): by for record in records.values() for pk, by in record["confirmed"].items()}
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
            is_compared = records.get(row.session_id, {}).get("lines")
            row.standing = Standing.CONTRADICTED if is_compared else Standing.BROWSER
        row.is_unreported = row.source == Source.PROVIDER and row.pk not in reported
    return confirmed


def _records(session_ids: set[UUID]) -> dict[UUID, Mapping[str, Any]]:
    """Return what the last reading of each session's record said; those from before lines were compared say nothing."""
    if not session_ids:
        return {}
    rows = SessionEvent.objects.filter(session__in=session_ids, kind=RECORD, source=Source.PROVIDER)
    told = rows.order_by("session", "number").values_list("session", "data")
    return {session_id: data for session_id, data in told if isinstance(data.get("confirmed"), dict)}
