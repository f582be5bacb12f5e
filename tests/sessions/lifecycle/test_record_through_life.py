"""The record verifies at every stage of a session and after every job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.utils import timezone

from heygen_portal.people.sign_in import retention
from heygen_portal.providers.contract.provider import (
    ProviderSession,
    ProviderUnreachable,
    SessionRecord,
    Speaker,
    SpokenLine,
)
from heygen_portal.trail import audit_log
from sessions.actions import deadlines
from sessions.costs import ledger, provider_record
from sessions.exports import list_export
from sessions.integrity import verification
from sessions.lifecycle import transitions
from sessions.models import (
    EndReason,
    Erasure,
    Export,
    ProviderErasure,
    ServerProcess,
    SessionTask,
    SpokenWord,
    Status,
    StreamingSession,
)
from sessions.presence import tabs
from sessions.retention import erasure, provider_erasure
from tests.sessions.integrity.test_tampering_columns import report_avatar_line, send_text
from tests.support.databases import BOTH
from tests.support.factories import WHY, PersonaFactory, UserFactory


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None, announced: object) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")
    audit_log.lock_head()


def fits(step: Callable[[], object]) -> None:
    step()
    found = list(verification.faults())
    assert not found, (step, found)


ANSWER = ProviderSession("theirs", None, duration_limit=timedelta(minutes=10), is_paid=True)


def begun() -> StreamingSession:
    session = transitions.request(PersonaFactory.create(published=True), UserFactory.create().pk)
    fits(lambda: transitions.connect(session, ANSWER))
    fits(
        lambda: transitions.record_started(
            session, ProviderSession("theirs", None, duration_limit=timedelta(minutes=5))
        )
    )
    fits(lambda: transitions.go_live(session))
    return session


def _send(session: StreamingSession, text: str) -> SessionTask:
    kind = SessionTask.Kind.TALK
    return deadlines.accept_task(session.pk, text=text, kind=kind, user_id=session.user_id, ref=text)[0]


def _give_up_stopping(session: StreamingSession) -> None:
    session.refresh_from_db()
    deadlines.schedule_stop_retry(session, 0.5, {"code": "silent"})


def test_the_record_covers_a_running_and_stopping_session() -> None:
    session = begun()
    process = ServerProcess.objects.create(lease_ends_at=timezone.now() + timedelta(minutes=1))
    fits(lambda: tabs.enter(session.pk, process.pk, "a tab"))
    fits(lambda: send_text(session, "¿Cuánto cuesta?"))
    fits(lambda: send_text(session, "No llega.", "provider_refused"))
    fits(lambda: _send(session, "Espera"))
    fits(lambda: deadlines.fail_stale_tasks(timezone.now() + timedelta(hours=1)))
    fits(lambda: report_avatar_line(session, "Son 20 €"))
    fits(lambda: deadlines.stay(session.pk))
    fits(lambda: deadlines.record_activity(session.pk))
    fits(lambda: tabs.leave("a tab"))
    fits(lambda: tabs.enter(session.pk, process.pk, "another tab"))
    fits(lambda: tabs.expire_leases(timezone.now() + timedelta(hours=1)))
    fits(lambda: deadlines.claim_due(timezone.now() + timedelta(hours=1)))
    assert StreamingSession.objects.get().status == Status.STOPPING
    fits(lambda: _give_up_stopping(session))
    fits(lambda: _give_up_stopping(session))
    fits(lambda: transitions.end_all([session.pk]))
    assert StreamingSession.objects.get().stop_attempts == 2


def test_the_record_covers_a_session_before_it_is_live_and_its_continuation() -> None:
    persona, user = PersonaFactory.create(published=True), UserFactory.create()
    late = transitions.request(persona, user.pk)
    fits(lambda: transitions.begin_stop(late, EndReason.ORPHAN_FOUND, WHY))
    fits(lambda: transitions.connect(late, ANSWER))
    late.refresh_from_db()
    fits(lambda: transitions.end(late))
    failed = transitions.request(persona, user.pk)
    failing = ProviderSession("failing", None)
    fits(lambda: transitions.store_after_failure(failed, failing, WHY))
    failed.refresh_from_db()
    fits(lambda: transitions.end(failed))
    fits(lambda: transitions.request(persona, user.pk, continues=failed))


@pytest.mark.both_databases
def test_the_record_covers_changes_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "_at_provider", lambda session: Erasure.AtProvider.ASKED)
    session = begun()
    send_text(session, "¿Cuánto cuesta?")
    report_avatar_line(session, "Son 20 €")
    fits(lambda: transitions.begin_stop(session, EndReason.USER_STOPPED, WHY))
    fits(lambda: transitions.end(session))
    lines = (SpokenLine(Speaker.AVATAR, "Son 20 €", None), SpokenLine(Speaker.AVATAR, "Otra línea", None))
    fits(ledger.book_all)
    fits(lambda: provider_record.store(session, SessionRecord("user", timedelta(seconds=65), Decimal("1.25"), lines)))
    fits(lambda: ledger.store_provider_cost(session.pk, 70.5, Decimal("1.5")))
    fits(lambda: erasure.hold(session.pk, "Litigation", (session.user_id or 0)))
    fits(lambda: erasure.erase(session.pk, Erasure.Cause.RETENTION))
    fits(lambda: erasure.release(session.holds.get(), (session.user_id or 0)))
    fits(
        lambda: list_export.request_export(
            (session.user_id or 0), None, Export.What.RECORD, Export.Format.JSON, session=session
        )
    )
    fits(lambda: call_command("rotate_keys"))
    SpokenWord.objects.all().delete()
    assert {fault.kind for fault in verification.faults()} == {"unindexed"}
    fits(lambda: call_command("rebuild_word_index", again=True))
    fits(lambda: retention.delete_old(timezone.now() + timedelta(days=4000)))
    fits(lambda: list_export.delete_files(Export.objects.all()))
    fits(lambda: erasure.erase_own(session.owner_id))
    assert Erasure.objects.filter(session=session).exists()
    [carried] = provider_erasure._claim_due(timezone.now() + timedelta(minutes=5))
    assert not list(verification.faults())
    fits(lambda: provider_erasure._store_failure(carried, ProviderUnreachable("ReadTimeout")))
    fits(lambda: provider_erasure._store_confirmation(ProviderErasure.objects.get(), timezone.now()))
    fits(lambda: call_command("upgrade_record"))
