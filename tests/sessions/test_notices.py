"""Each event reaches the outbox from its source, as docs/webhooks.md and its schema say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
from django.conf import settings
from django.utils import timezone

from avatars.documents import intake, unanswered
from avatars.models import Library, PersonaCheck, PersonaTestRun, PersonaVersion
from avatars.personas import publishing
from heygen_portal.models import EventType, Webhook, WebhookDelivery, WebhookMessage
from heygen_portal.providers.contract.session_records import SessionRecord
from heygen_portal.trail.change_log import SERVER
from heygen_portal.webhooks import changes, delivery, outbox
from heygen_portal.webhooks.sending import Answer
from sessions import notices
from sessions.brain.tools import contact
from sessions.costs import ledger, provider_record, spend_alerts
from sessions.exports import list_export
from sessions.health import incidents
from sessions.health.readings import Cause, Reading
from sessions.integrity import nightly_check
from sessions.lifecycle import transitions
from sessions.models import Check, Erasure, Export, Status, StreamingSession, Utterance
from sessions.persona_tests import runs as persona_test_runs
from sessions.retention import erasure
from sessions.speech import webhook_lines
from sessions.staff import persona_checks
from tests.avatars.documents.uploads import upload
from tests.sessions.tampering import execute_as_owner
from tests.support.factories import PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db

DOCS = Path(settings.BASE_DIR) / "docs"
EXAMPLES = re.compile(r"(?ms)^### ([a-z.]+)\n(.*?)(?=^### |\Z)")
NOW = timezone.now()
SAID = "Nobody but the archive may read this"


@pytest.fixture(scope="module")
def schema() -> Any:
    loaded = json.loads((DOCS / "schemas" / "webhooks.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(loaded)
    return loaded


@pytest.fixture
def webhook() -> Webhook:
    made = Webhook(name="CRM", url="https://crm.test/", events=[*map(str, EventType.selectable())])
    changes.create(SERVER, made)
    return made


def validate(schema: Any, content: Any) -> None:
    one = {**schema, "oneOf": [{"$ref": f"#/$defs/{content['type']}"}]}
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(one, format_checker=checker).validate(content)


def an_ended_session(**fields: Any) -> StreamingSession:
    moments = {"created_at": NOW - timedelta(minutes=6), "ended_at": NOW} | fields
    session: StreamingSession = StreamingSessionFactory.create(status=Status.ENDED, **moments)
    return session


def start() -> None:
    persona = PersonaFactory.create(published=True)
    session = transitions.request(persona, UserFactory.create().pk)
    StreamingSession.objects.filter(pk=session.pk).update(status=Status.CONNECTING)
    session.refresh_from_db()
    assert transitions.go_live(session)


def end() -> None:
    an_ended_session()
    ledger.book_all()
    ledger.book_all()  # adds nothing


def spend() -> None:
    persona = PersonaFactory.create(published=True, avatar__account__monthly_cap=1)
    session = an_ended_session(persona=persona)
    ledger.book_all()
    WebhookMessage.objects.all().delete()
    for _ in range(2):
        spend_alerts.raise_alerts(session.created_at)  # in its month, which NOW may have just left


def publish() -> None:
    persona = PersonaFactory.create()
    for _ in range(2):
        publishing.publish(persona)
    for _ in range(2):
        publishing.unpublish(persona)


def check_personas() -> None:
    persona = PersonaFactory.create(published=True)
    for outcome in (PersonaCheck.Outcome.UNFIT, PersonaCheck.Outcome.UNFIT, PersonaCheck.Outcome.PASSED):
        persona_checks.record_check(persona, outcome)


def tamper() -> None:
    execute_as_owner("UPDATE heygen_portal_audithead SET signature = '0'")
    nightly_check.check_record(timezone.now())


def fail() -> None:
    dead = {Check.LIMITS: Reading(timedelta(minutes=9), timedelta(seconds=30), Cause.LATE)}
    for minute in range(7):
        incidents.judge(dead, NOW + timedelta(minutes=minute))
    for minute in (8, 9):
        incidents.judge({}, NOW + timedelta(minutes=minute))


def read_documents() -> None:
    library = Library.objects.create(name="Museum", language="en")
    upload(library, "rules.pdf", b"no pdf")
    document = upload(library, "prices.md", f"# Prices\n\n{SAID}.")
    for _ in range(2):
        intake.withdraw(document, SERVER)


def leave_questions() -> None:
    library = Library.objects.create(name="Museum", language="en")
    for _ in range(2):
        unanswered.record(library.pk, SAID, "en", uuid4())


def ask_the_team() -> None:
    persona = PersonaFactory.create(published=True, brain="own", tools="ask_for_person")
    session = StreamingSessionFactory.create(persona=persona, version=persona.current)
    for _ in range(2):
        contact._store_request(session.pk, contact.BY_USER)
    contact._store_message(session.pk, "rosa@example.com", SAID)


def run_persona_tests() -> None:
    version = PersonaVersion.objects.get(persona=PersonaFactory.create(published=True))
    for state in (PersonaTestRun.State.PASSED, PersonaTestRun.State.LOST):
        run = PersonaTestRun.objects.create(version=version, state="running", moved_at=NOW - timedelta(hours=1))
        if state == PersonaTestRun.State.PASSED:
            persona_test_runs._end(run.pk, version, state, persona_test_runs._Progress())
        else:
            persona_test_runs.maintain()


def export() -> None:
    row = Export.objects.create(
        asked_by=UserFactory.create(), what="sessions", format="csv", state=Export.State.WAITING
    )
    assert list_export.continue_writing(row.pk, 10) is False


def try_out() -> None:
    changes.send_test(Webhook.objects.get())


SOURCES: list[tuple[Callable[[], None], list[str]]] = [
    (start, ["conversation.started", "session.live"]),
    (end, ["session.ended", "transcript.ready"]),
    (spend, ["spending.alarm", "spending.alarm"]),
    (publish, ["persona.published", "persona.unpublished"]),
    (check_personas, ["persona.hidden", "persona.shown"]),
    (run_persona_tests, ["persona.tested", "persona.tested"]),
    (read_documents, ["document.failed", "document.read", "document.withdrawn"]),
    (leave_questions, ["question.unanswered"]),
    (ask_the_team, ["person.asked", "message.left"]),
    (tamper, ["integrity.alarm"]),
    (fail, ["incident.opened", "incident.closed"]),
    (export, ["export.ready"]),
    (try_out, ["webhook.test"]),
]


@pytest.mark.parametrize(("happen", "told"), SOURCES, ids=[happen.__name__ for happen, _ in SOURCES])
def test_each_source_tells_its_events_once(
    webhook: Webhook, schema: Any, happen: Callable[[], None], told: list[str]
) -> None:
    happen()
    messages = WebhookMessage.objects.order_by("pk")
    assert [str(message.event) for message in messages] == told
    for message in messages:
        sent = delivery.body_of(message, {})
        assert SAID not in str(sent)
        validate(schema, json.loads(sent))


def test_every_event_has_a_source_a_schema_and_a_valid_example(schema: Any) -> None:
    page = (DOCS / "webhooks.md").read_text()
    examples = {name: re.findall(r"(?s)```json\n(.*?)```", text) for name, text in EXAMPLES.findall(page)}
    everything = {event.value for event in EventType}
    assert {name for _, told in SOURCES for name in told} == everything
    assert set(schema["$defs"]) == set(examples) == everything
    for name, [example] in examples.items():
        assert json.loads(example)["type"] == name
        validate(schema, json.loads(example))


@pytest.mark.usefixtures("webhook")
def test_the_providers_record_completes_the_transcript() -> None:
    persona = PersonaFactory.create(published=True, avatar__account__kind="liveavatar")
    session = an_ended_session(persona=persona, record_due_at=NOW)
    ledger.book_all()
    for _ in range(2):
        provider_record.store(session, SessionRecord(end_reason="", duration=None, credits=None, lines=()))
    assert list(WebhookMessage.objects.order_by("pk").values_list("event", flat=True)) == [
        "session.ended",
        "transcript.ready",
    ]


def test_a_transcript_waits_for_the_last_lines_and_for_the_end_to_be_told(webhook: Webhook) -> None:
    ended_at = NOW + timedelta(days=1)  # however slow the machine is, that is later
    an_ended_session(ended_at=ended_at)
    ledger.book_all()
    ended, transcript = WebhookDelivery.objects.order_by("pk")
    assert (ended.due_at is not None, transcript.due_at) == (True, None)
    delivery._store(webhook.pk, [(ended, Answer(WebhookDelivery.Outcome.ACCEPTED))], NOW)
    transcript.refresh_from_db()
    assert transcript.due_at == ended_at + timedelta(seconds=15)


def test_speech_is_sent_as_documented_until_it_is_erased(webhook: Webhook, schema: Any) -> None:
    session = an_ended_session()
    Utterance.objects.create(session=session, who="user", by="text", kind="talk", text=SAID, source="portal", at=NOW)
    ledger.book_all()
    message = WebhookMessage.objects.get(event=EventType.TRANSCRIPT_READY)
    assert SAID not in json.dumps(message.data)
    content = json.loads(delivery.body_of(message, webhook_lines.read(session.pk)))
    validate(schema, content)
    assert [line["text"] for line in content["data"]["lines"]] == [SAID]
    assert erasure.erase(session.pk, Erasure.Cause.PERSON, session.user_id)
    content = json.loads(delivery.body_of(message, webhook_lines.read(session.pk)))
    validate(schema, content)
    assert content["data"]["lines"] is None


def test_a_damaged_webhook_does_not_keep_a_session_from_going_live(webhook: Webhook) -> None:
    Webhook.objects.update(events=[{"not": "an event"}, 5])
    start()
    assert StreamingSession.objects.get().status == Status.LIVE
    assert not WebhookMessage.objects.exists()


def test_without_webhooks_an_event_costs_one_query(django_assert_num_queries: Any) -> None:
    session = an_ended_session()
    with django_assert_num_queries(1):
        outbox.write(EventType.SESSION_LIVE, lambda: notices.session_live(session))
