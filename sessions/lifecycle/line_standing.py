"""The standing of transcript lines.

A line was sent by the portal, comes from the provider, or was only reported by a browser. The same holds for its
interruption, and where it was interrupted is known to the browser alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar
from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime.text import comparison
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import SessionEvent, SessionTask, Utterance

Source = SessionEvent.Source
# The event with the result of reading the provider's record. Its `confirmed` maps the IDs of reported lines to those of
# the provider's lines that confirm them.
RECORD = EventKind.PROVIDER_RECORD
# Key of an INTERRUPTED event: the provider itself accepted the interruption. Else it was left to the page to publish.
IS_ACCEPTED = "is_accepted"
# The longest times from an accepted interruption to the end of the line that it cut, and the other way round: the line
# may end before the provider's answer arrives.
INTERRUPTION_WINDOW = timedelta(seconds=10)
INTERRUPTION_DELAY = timedelta(seconds=3)


class Standing(models.TextChoices):
    """Where a line comes from, and whether the provider's transcript has it."""

    SENT = "sent", _("Sent by the portal")
    NOT_DELIVERED = "not_delivered", _("Delivery to the avatar not confirmed")
    PROVIDER = "provider", _("Provider’s transcript")
    CONFIRMED = "confirmed", _("Reported by the browser, confirmed by the provider")
    BROWSER = "browser", _("Reported by the browser only")
    CONTRADICTED = "contradicted", _("Reported by the browser, not in the provider’s transcript")


class Interruption(models.TextChoices):
    """Who says that a line was interrupted. Lines that were not have an empty value."""

    CONFIRMED = "confirmed", _("interrupted")
    REPORTED = "reported", _("interrupted, as reported by the browser")


UNCONFIRMED = (Standing.BROWSER, Standing.CONTRADICTED, Standing.NOT_DELIVERED)
Rows = TypeVar("Rows", bound=Iterable[Utterance])


def set_standing(rows: Rows) -> Rows:
    """Set `standing` on each line and return the lines. At most two queries."""
    _set_standing(rows)
    return rows


def notes(line: Utterance) -> list[str]:
    """Return remarks on a line for texts: its interruption, and that it is not confirmed."""
    found = [Interruption(line.interruption).label] if line.interruption else []
    return [str(note) for note in (*found, *([Standing(line.standing).label] if line.standing in UNCONFIRMED else []))]


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
    so that is taken from its report, if the provider's line begins with its words. `rows` may be a batch of a session's
    lines.
    """
    by_id = {row.pk: row for row in rows}
    confirmed = _set_standing(rows)
    claimed_of = {by[-1]: claimed for claimed, by in confirmed.items() if by and by[-1] in by_id}
    elsewhere = [claimed for claimed in claimed_of.values() if claimed not in by_id]
    if elsewhere:
        cut = list(Utterance.objects.filter(pk__any_of=elsewhere, is_interrupted=True))
        _set_interruptions(cut, confirmed)
        by_id |= {row.pk: row for row in cut}
    for confirming, claimed_id in claimed_of.items():
        claimed, line = by_id.get(claimed_id), by_id[confirming]
        if claimed and claimed.is_interrupted:
            line.is_interrupted, line.interruption = True, claimed.interruption
            line.heard = claimed.shown if claimed.is_beginning else ""
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
    confirmed |= _heard_lines([row for row in rows if row.session_id not in records])
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
    _set_interruptions(rows, confirmed)
    return confirmed


def _heard_lines(rows: Iterable[Utterance]) -> dict[int, list[int]]:
    """Return the reported lines of running sessions that the provider, too, has told, with those lines.

    It tells what it heard when it asks the organisation's own model.
    """
    heard = [row for row in rows if row.source == Source.PROVIDER and row.kind]
    told: dict[tuple[UUID, str], list[int]] = {}
    for row in heard:
        told.setdefault((row.session_id, comparison.words(row.shown)), []).append(row.pk)
    found: dict[int, list[int]] = {}
    for row in rows if told else ():
        is_claim = row.source == Source.BROWSER and row.who == Utterance.Who.USER
        if is_claim and (same := told.get((row.session_id, comparison.words(row.shown)))):
            found[row.pk] = [same.pop(0)]
    return found


def _set_interruptions(rows: Iterable[Utterance], confirmed: Mapping[int, list[int]]) -> None:
    """Set who says that each line was interrupted, and whether the provider's line begins with a reported one."""
    claims = [row for row in rows if row.is_interrupted and row.source == Source.BROWSER]
    seen = _seen_by_portal(claims)
    theirs = _texts({pk for claim in claims for pk in confirmed.get(claim.pk, ())})
    for row in rows:
        row.is_beginning = False
        row.interruption = Interruption.CONFIRMED if row.is_interrupted else ""
    for claim in claims:
        spoken = comparison.words(" ".join(theirs.get(pk, "") for pk in confirmed.get(claim.pk, ())))
        claim.is_beginning = f"{spoken} ".startswith(f"{comparison.words(claim.shown)} ")
        is_possible = claim.is_beginning or claim.pk not in confirmed
        is_confirmed = claim.pk in seen and is_possible and vars(claim).get("standing") != Standing.CONTRADICTED
        claim.interruption = Interruption.CONFIRMED if is_confirmed else Interruption.REPORTED


def _texts(keys: set[int]) -> dict[int, str]:
    return {row.pk: row.shown for row in Utterance.objects.filter(pk__any_of=list(keys))} if keys else {}


def _seen_by_portal(claims: Iterable[Utterance]) -> set[int]:
    """Return the IDs of the lines whose interruption the portal saw. At most two queries.

    The provider accepted an interruption after the text of the line's task was sent, and near the line's end.
    """
    named = [claim for claim in claims if claim.provider_task_id]
    if not named:
        return set()
    ends, session_ids = [claim.at for claim in named], {claim.session_id for claim in named}
    sent = SessionEvent.objects.filter(
        session__in=session_ids, kind=EventKind.INTERRUPTED, source=Source.PORTAL,
        at__gte=min(ends) - INTERRUPTION_WINDOW, at__lte=max(ends) + INTERRUPTION_DELAY,
    )  # fmt: skip
    rows = sent.values_list("session", "at", "data")
    moments = [(session_id, at) for session_id, at, data in rows if data.get(IS_ACCEPTED) is True]
    if not moments:
        return set()
    tasks = SessionTask.objects.filter(
        session__in=session_ids, provider_task_id__in={claim.provider_task_id for claim in named},
        status=SessionTask.Status.SENT,
    )  # fmt: skip
    begins: dict[tuple[UUID, str], datetime] = {
        (session_id, task_id): at
        for session_id, task_id, at in tasks.values_list("session", "provider_task_id", "created_at")
    }
    return {
        claim.pk
        for claim in named
        if (begin := begins.get((claim.session_id, claim.provider_task_id)))
        and any(
            session_id == claim.session_id
            and max(begin, claim.at - INTERRUPTION_WINDOW) <= at <= claim.at + INTERRUPTION_DELAY
            for session_id, at in moments
        )
    }


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
