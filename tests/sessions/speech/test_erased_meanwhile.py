"""Speech that is stored while its session's speech is erased, on PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from avatars.models import Persona
from heygen_portal.providers.contract.provider import ProviderSession
from heygen_portal.providers.contract.session_records import SessionRecord, Speaker, SpokenLine
from sessions import errors
from sessions.actions import control, deadlines
from sessions.costs import provider_record
from sessions.integrity import verification
from sessions.lifecycle import transitions
from sessions.models import (
    EndReason,
    Erasure,
    SessionTask,
    SpokenWord,
    StreamingSession,
    Utterance,
    speech_encryption,
)
from sessions.retention import erasure
from sessions.timeline.page_clock import PageClock
from tests.sessions import reports
from tests.sessions.tampering import live_session
from tests.support.factories import WHY, PersonaFactory, UserFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.usefixtures("postgres", "announced")

EARLIER, MEANWHILE = "Good morning", "Wednesday"


def report(session_id: UUID, kind: str, text: str) -> None:
    now = timezone.now().timestamp() * 1000
    message = {"kind": kind, "data": {"message": text, "task_id": text}, "at": now, "sent": now}
    asyncio.run(reports.handle(session_id, message, PageClock()))


def report_avatar(session: StreamingSession) -> None:
    report(session.pk, "avatar_end_message", MEANWHILE)


def report_user(session: StreamingSession) -> None:
    report(session.pk, "user_end_message", MEANWHILE)


def read_provider_record(session: StreamingSession) -> None:
    line = SpokenLine(Speaker.AVATAR, MEANWHILE, timezone.now())
    provider_record.store(session, SessionRecord("user", timedelta(seconds=1), None, (line,)))


def send_text(session: StreamingSession) -> None:
    with suppress(errors.NotLive):
        deadlines.accept_task(session.pk, text=MEANWHILE, kind=SessionTask.Kind.TALK, user_id=session.user_id)


def greet(session: StreamingSession) -> None:
    asyncio.run(control.go_live(session.pk))


def end(session: StreamingSession) -> None:
    session.refresh_from_db()
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)


def connected() -> StreamingSession:
    persona: Persona = PersonaFactory.create(published=True, greeting=MEANWHILE)
    session = transitions.request(persona, UserFactory.create().pk)
    transitions.connect(session, ProviderSession("one", None, duration_limit=timedelta(minutes=10), is_paid=True))
    transitions.record_started(session, ProviderSession("one", None))
    return session


def live() -> StreamingSession:
    return live_session(PersonaFactory.create(published=True), "one")


@pytest.mark.parametrize(
    ("opened", "is_over", "store"),
    [
        (live, True, report_avatar),
        (live, True, report_user),
        (live, True, read_provider_record),
        (live, False, send_text),
        (connected, False, greet),
    ],
)
def test_speech_is_erased_with_the_rest_or_not_stored(
    monkeypatch: pytest.MonkeyPatch,
    opened: Callable[[], StreamingSession],
    is_over: bool,
    store: Callable[[StreamingSession], None],
) -> None:
    session = opened()
    report(session.pk, "avatar_end_message", EARLIER)
    if is_over:
        end(session)
    tried = []

    def erase() -> None:
        """End and erase, unless somebody has locked the rows."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '10ms'")
            end(StreamingSession.objects.get(pk=session.pk))
            erasure.erase_own(session.owner_id)
        except OperationalError:
            tried.append("had to wait")
        else:
            tried.append("erased")
        finally:
            connection.close()

    encrypt = speech_encryption.encrypt

    def encrypt_while_it_is_erased(*values: Any) -> bytes:
        """The key has been read, and nothing is stored yet."""
        if not tried:
            other = Thread(target=erase)
            other.start()
            other.join(WAIT_TIMEOUT_S)
        return encrypt(*values)

    monkeypatch.setattr(speech_encryption, "encrypt", encrypt_while_it_is_erased)
    store(session)
    assert tried
    end(StreamingSession.objects.get(pk=session.pk))
    erasure.erase_own(session.owner_id)
    stored = [bytes(row.sealed) for model in (Utterance, SessionTask) for row in model._base_manager.order_by("pk")]
    erased = hashlib.sha256(b"".join(hashlib.sha256(sealed).digest() for sealed in stored)).hexdigest()
    assert Erasure.objects.get().hash == erased
    assert not SpokenWord.objects.exists()
    assert {line.text for line in Utterance.objects.all()} == {""}
    assert list(verification.faults()) == []
