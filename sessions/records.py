"""What the provider keeps of a session that is over: why it ended, what it cost, and lines that we did not hear.

Read by the worker, again and again until the provider has answered; reading twice adds nothing.
"""

from __future__ import annotations

import asyncio
import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from heygen_portal import providers
from heygen_portal.providers.base import ProviderError, ProviderRejected, SessionRecord, SpokenLine
from heygen_portal.threads import in_thread
from sessions import events, ledger
from sessions.events import Entry
from sessions.models import SpeechKey, Status, StreamingSession, Utterance
from sessions.stopping import in_one_line

logger = logging.getLogger(__name__)

AT_ONCE = 20
RETRY = timedelta(minutes=1)
PATIENCE = timedelta(days=1)
"""How long after the end the provider is asked again when it does not answer."""


async def read_due(now: datetime) -> None:
    """Read the records of sessions that have ended since."""
    taken = await in_thread(_take)(now)
    await asyncio.gather(*(_read(session, now) for session in taken))


def _take(now: datetime) -> list[StreamingSession]:
    """Two workers never take the same row: each is claimed until its next try."""
    with transaction.atomic():
        rows = StreamingSession.objects.select_related("account").select_for_update(skip_locked=True, of=("self",))
        due = list(rows.filter(status=Status.ENDED, record_due_at__lte=now).order_by("record_due_at")[:AT_ONCE])
        ids = [session.pk for session in due]
        StreamingSession.objects.filter(pk__in=ids).update(record_due_at=now + RETRY)
    return due


async def _read(session: StreamingSession, now: datetime) -> None:
    provider = providers.for_account(session.account)
    assert session.provider_session_id
    assert session.ended_at
    try:
        record = await provider.read_record(session.provider_session_id)
    except ProviderError as exc:
        logger.warning("session %s: its record could not be read: %s", session.pk, in_one_line(exc))
        if isinstance(exc, ProviderRejected) or now - session.ended_at > PATIENCE:
            await in_thread(_give_up)(session)
    else:
        await in_thread(store)(session, record)


def _give_up(session: StreamingSession) -> None:
    with transaction.atomic():
        StreamingSession.objects.filter(pk=session.pk).update(record_due_at=None)
        events.record(session.pk, Entry("provider_record_missing"))


def store(session: StreamingSession, record: SessionRecord) -> None:
    """Add the lines that are missing from our transcript, and note how the provider saw the end. Safe to repeat."""
    with transaction.atomic():
        StreamingSession.objects.select_for_update().only("pk").get(pk=session.pk)
        ours = list(Utterance.objects.filter(session=session))
        is_erased = SpeechKey.objects.filter(session=session).exclude(erased_at=None).exists()
        missing = [] if is_erased else missing_lines([(line.who, line.text) for line in ours], record.lines)
        added: list[str] = []
        moment = session.billed_from
        for line in missing:
            moment = line.at or moment
            row = Utterance.objects.create(
                session=session,
                who=Utterance.Who(line.who.value),
                by=Utterance.By.VOICE,
                text=line.text,
                source=events.Source.PROVIDER,
                at=moment,
            )
            added.append(row.fingerprint)
        noted: dict[str, Any] = {
            "end_reason": record.end_reason,
            "seconds": record.duration.total_seconds() if record.duration else None,
            "credits": str(record.credits) if record.credits is not None else None,
            "lines": len(record.lines),
            "added": len(missing),
            "speech": added,
        }
        events.record(session.pk, Entry("provider_record", noted, events.Source.PROVIDER))
        ledger.note_provider(session.pk, noted["seconds"], record.credits)
        StreamingSession.objects.filter(pk=session.pk).update(record_due_at=None)


def missing_lines(ours: Iterable[tuple[str, str]], theirs: Sequence[SpokenLine]) -> list[SpokenLine]:
    """Return which of the provider's lines we do not have.

    The same words count once for each time they were said. A line may be cut differently on the two sides: one that
    is part of ours is known, and so is one of which ours, cut off by an interruption, is the beginning.
    """
    left = [(who, _words(text)) for who, text in ours]
    unknown = []
    for line in theirs:
        said = (line.who.value, _words(line.text))
        if said in left:
            left.remove(said)
        elif said[1]:
            unknown.append(line)
    missing = []
    for line in unknown:
        who, words = line.who.value, _words(line.text)
        for place, (whose, known) in enumerate(left):
            if whose == who and known and (_holds(known, words) or words.startswith(f"{known} ")):
                left[place] = (
                    whose,
                    f" {known} ".replace(f" {words} ", " | ", 1).strip() if _holds(known, words) else "",
                )
                break
        else:
            missing.append(line)
    return missing


def _holds(text: str, part: str) -> bool:
    return f" {part} " in f" {text} "


def _words(text: str) -> str:
    """The words alone: providers disagree on capitals, spaces and signs."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))
