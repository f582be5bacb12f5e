"""Tests of a persona are run against the emulator's model, reported, and kept before publishing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.core import mail
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from avatars.models import (
    Library,
    ModelService,
    Persona,
    PersonaTest,
    PersonaTestRun,
    PersonaVersion,
    ProviderAccount,
    UnansweredQuestion,
)
from avatars.personas import publishing, versions
from heygen_portal.people.access.roles import ADMINISTRATOR, AUDITOR
from heygen_portal.providers.contract.provider import NotSent
from heygen_portal.trail.change_log import SERVER
from heygen_portal.trail.models import AuditEntry
from sessions.brain.answering import Outcome
from sessions.capacity import quotas, slots
from sessions.costs import report as costs
from sessions.integrity import verification
from sessions.models import SessionTask, StreamingSession
from sessions.persona_tests import conversation, report, runs, script, store
from sessions.persona_tests.checks import Heard
from tests.avatars.documents.uploads import upload
from tests.emulator.wire import Wire
from tests.support import servers
from tests.support.factories import ModelServiceFactory, PersonaFactory, UserFactory, sync_roles

pytestmark = pytest.mark.django_db(transaction=True)
State, Trigger = runs.State, runs.Trigger
TODAY = date(2026, 12, 1)
DOCUMENT = "# Tickets\n\nA ticket costs 12.50 euros."
PASSING = """\
tests:
- name: Price
  turns:
  - say: What does a ticket cost?
    expect:
    - contains: 12.50 euros
    - cites: tickets
    - judged: A ticket costs euros.
  - say: Who won the football match?
    expect:
    - does_not_contain: euros
"""
FAILING = PASSING.replace("12.50 euros\n", "13 euros\n").replace("A ticket costs euros", "Parking is free")


@pytest.fixture
def service(fresh_emulator: servers.Emulator) -> Iterator[ModelService]:
    with Wire(fresh_emulator.url, fresh_emulator.api_key) as wire:
        yield ModelServiceFactory.create(
            base_url=f"{wire.url}/v1", api_key=wire.api_key, chat_model="emulated-chat", input_price=10, output_price=30
        )


@pytest.fixture
def persona(service: ModelService) -> Persona:
    library = Library.objects.create(name="Museum", language="en")
    upload(library, "visits.md", DOCUMENT)
    made: Persona = PersonaFactory.create(
        published=True, brain="own", language="en", model_service=service, library=library, instructions="You help."
    )
    return made


def administrator(**about: str) -> User:
    sync_roles()
    user: User = UserFactory.create(is_staff=True, **about)
    user.groups.add(Group.objects.get(name=ADMINISTRATOR.group))
    return user


def save_tests(persona: Persona, text: str) -> None:
    store.save(persona, script.read(text), SERVER)


def run_now(persona: Persona, trigger: PersonaTestRun.Trigger = Trigger.STAFF) -> PersonaTestRun:
    version = versions.newest(persona)
    assert version
    with patch.object(runs.run_tests, "delay"):
        run, is_new = runs.begin(version, trigger)
    assert is_new
    async_to_sync(runs.run)(run.pk, TODAY)
    run.refresh_from_db()
    return run


def test_a_run_passes_and_leaves_no_trace_but_its_cost(persona: Persona) -> None:
    save_tests(persona, PASSING)
    run = run_now(persona)
    assert (run.state, run.done, run.total) == (State.PASSED, 2, 2), run.results
    [test] = report.of(run)
    assert (test.name, test.is_passed, test.change_words) == ("Price", True, "")
    assert "12.50 euros" in test.turns[0]["answer"]
    assert not (UnansweredQuestion.objects.exists())
    assert not (StreamingSession.objects.exists())
    assert not (SessionTask.objects.exists())
    assert run.cost > 0
    assert quotas.spending(persona.avatar.account, timezone.now()).spent == run.cost


def test_a_report_tells_what_differs(persona: Persona) -> None:
    save_tests(persona, PASSING)
    run_now(persona)
    save_tests(persona, FAILING)
    run = run_now(persona)
    assert run.state == State.FAILED
    [test] = report.of(run)
    assert test.change_words == "passed in the run before"
    met = {words: is_met for words, _problem, is_met in test.turns[0]["expected"]}
    assert met == {"contains: 13 euros": False, "cites: tickets": True, "judged: Parking is free.": False}
    save_tests(persona, PASSING)
    assert report.of(run_now(persona))[0].change_words == "passes again"


def test_a_failing_version_is_published_with_a_reason_only(persona: Persona) -> None:
    save_tests(persona, FAILING)
    persona.instructions = "You help visitors."
    versions.save_version(persona)
    with (
        patch.object(publishing, "problems", return_value={}),
        patch.object(publishing, "account_problems", return_value={}),
    ):
        with pytest.raises(ValidationError, match="have not been run"):
            publishing.publish(persona)
        assert run_now(persona).state == State.FAILED
        with pytest.raises(ValidationError, match="have not passed"):
            publishing.publish(persona)
        publishing.publish(persona, despite_tests="The fair opens today.")
        assert AuditEntry.objects.get(kind="published").data["published_despite_tests"] == [
            None,
            "The fair opens today.",
        ]
        persona.instructions = "You help all visitors."
        versions.save_version(persona)
        save_tests(persona, PASSING)
        assert run_now(persona).state == State.PASSED
        publishing.publish(persona)
        save_tests(persona, FAILING)  # later tests do not prevent a roll back
        publishing.publish(persona, versions.with_number(persona, 1))


def test_staff_are_mailed_once_when_nightly_tests_begin_to_fail(persona: Persona, settings: Any) -> None:
    settings.EMAIL_HOST = "mail.example.org"
    administrator(email="ada@example.com")
    save_tests(persona, PASSING)
    run_now(persona, Trigger.NIGHTLY)
    save_tests(persona, FAILING)
    run_now(persona)
    assert mail.outbox == []  # staff saw it themselves
    run_now(persona, Trigger.NIGHTLY)
    run_now(persona, Trigger.CHANGED)
    assert [message.to for message in mail.outbox] == [["ada@example.com"]]
    assert "- Price" in mail.outbox[0].body
    save_tests(persona, PASSING)
    run_now(persona, Trigger.NIGHTLY)
    save_tests(persona, FAILING)
    run_now(persona, Trigger.NIGHTLY)
    assert len(mail.outbox) == 2


def test_staff_are_mailed_of_a_run_that_did_not_end(persona: Persona, settings: Any) -> None:
    settings.EMAIL_HOST = "mail.example.org"
    administrator(email="ada@example.com")
    save_tests(persona, PASSING)
    run_now(persona, Trigger.NIGHTLY)
    account = persona.avatar.account
    account.monthly_cap = Decimal(0)
    account.save()
    for trigger in (Trigger.STAFF, Trigger.NIGHTLY, Trigger.NIGHTLY):
        assert run_now(persona, trigger).state == State.CAPPED
    [capped] = mail.outbox
    assert capped.body.startswith("Detenida por el límite de gasto.")
    with patch.object(runs.run_tests, "delay"):
        version = versions.newest(persona)
        assert version
        lost, _is_new = runs.begin(version, Trigger.NIGHTLY)
        at = timezone.now() - timedelta(minutes=11)
        PersonaTestRun.objects.filter(pk=lost.pk).update(state=State.RUNNING, moved_at=at)
        for _ in range(2):
            runs.maintain()
    assert len(mail.outbox) == 2
    assert mail.outbox[1].body.startswith("Interrumpida.")
    assert "no terminaron" in mail.outbox[1].subject


def test_a_judge_that_fails_costs_what_it_used(service: ModelService, fresh_emulator: servers.Emulator) -> None:
    """Its tokens were left out of the account's spending."""
    heard = Heard("Say: perhaps.", Outcome.ANSWERED)
    service.chat_model = "emulated-obedient"
    problem, used = async_to_sync(conversation.judge)(service, "It is polite.", heard)
    assert (problem, used.prompt_tokens > 0, used.is_estimated) == ("judge_failed: no_verdict", True, False)
    with Wire(fresh_emulator.url, fresh_emulator.api_key) as wire:
        wire.fault("stream_cut", after=1)
    problem, used = async_to_sync(conversation.judge)(service, "It is polite.", heard)
    assert (problem, used.completion_tokens > 0, used.is_estimated) == ("judge_failed: garbled", True, True)


def test_a_changed_document_is_tested_again_and_a_lost_run_is_named(persona: Persona) -> None:
    save_tests(persona, PASSING)
    first = run_now(persona)
    with patch.object(runs.run_tests, "delay") as send:
        runs.maintain()
        assert not send.called
        assert persona.library
        upload(persona.library, "more.md", "# Parking\n\nParking is free.")
        runs.maintain()
        again = PersonaTestRun.objects.get(trigger=Trigger.CHANGED)
        send.assert_called_once_with(again.pk)
        PersonaTestRun.objects.filter(pk=again.pk).update(
            state=State.RUNNING, moved_at=timezone.now() - timedelta(minutes=11)
        )
        runs.maintain()
    again.refresh_from_db()
    assert (again.state, first.pk != again.pk) == (State.LOST, True)


def test_a_called_tool_has_no_effect(persona: Persona) -> None:
    persona.tools = "leave_message"
    versions.save_version(persona)
    say = "tool: leave_message {}"
    save_tests(
        persona, f"tests: [{{name: A, turns: [{{say: '{say}', expect: [{{calls: leave_message}}, {{calls: x}}]}}]}}]"
    )
    run = run_now(persona)
    [turn] = run.results[0]["turns"]
    assert (turn["problems"], turn["calls"]) == (["", "not_met"], [{"name": "leave_message", "arguments": {}}])
    assert mail.outbox == []


def test_a_reached_cap_ends_a_run_before_it_costs(persona: Persona) -> None:
    account = persona.avatar.account
    account.monthly_cap = Decimal(0)
    account.save()
    save_tests(persona, PASSING)
    run = run_now(persona)
    assert (run.state, run.done, run.cost) == (State.CAPPED, 0, Decimal(0))


def test_a_run_spends_nothing_that_sessions_were_promised(persona: Persona) -> None:
    ProviderAccount.objects.update(monthly_cap=Decimal(4), credits_per_minute=Decimal("0.2"))  # 20 minutes
    slots.open_session(UserFactory.create().pk, str(persona.slug))
    save_tests(persona, PASSING)
    assert run_now(persona).state == State.CAPPED


def test_a_turn_that_takes_too_long_fails(persona: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tests(persona, PASSING)
    monkeypatch.setattr(conversation, "LONGEST_ANSWER", timedelta(0))
    monkeypatch.setattr(conversation, "JUDGE_SECONDS", 0)
    run = run_now(persona)
    assert run.state == State.FAILED
    assert [turn["problems"] for turn in run.results[0]["turns"]] == [
        ["not_met", "not_met", "judge_failed: too_slow", "too_slow"],
        ["", "too_slow"],
    ]


def test_a_model_that_fails_fails_the_test(persona: Persona, service: ModelService) -> None:
    ModelService.objects.filter(pk=service.pk).update(chat_model="nothing-like-that")
    save_tests(persona, "tests: [{name: Hello, turns: [{say: Hello}]}]")
    run = run_now(persona)
    assert run.state == State.FAILED
    assert report.of(run)[0].turns[0]["failures"] == ["The model failed: the service refuses with HTTP 404."]


def test_costs_of_tests_are_in_the_report_of_the_month_and_outlive_runs(persona: Persona) -> None:
    save_tests(persona, PASSING)
    run = run_now(persona)
    month = costs.report(costs.Month.parse("", timezone.now()))
    assert (month.total.credits, month.total.model_tokens) == (run.cost, run.tokens)
    assert [sums.name for sums in month.personas] == [persona.name]
    PersonaTestRun.objects.all().delete()
    assert quotas.spending(persona.avatar.account, timezone.now()).spent == run.cost
    with pytest.raises(ProtectedError):
        Persona.objects.get(pk=persona.pk).delete()
    assert list(verification.faults()) == []


def test_one_run_at_a_time_takes_a_worker_and_staff_go_first(persona: Persona) -> None:
    save_tests(persona, PASSING)
    others = [PersonaFactory.create(published=True, brain="own", model_service=persona.model_service) for _ in "12"]
    for other in others:
        save_tests(other, PASSING)
    with patch.object(runs.run_tests, "delay") as send:
        first, nightly, staffs = (
            runs.begin(each.current, trigger)[0]
            for each, trigger in zip((persona, *others), (Trigger.NIGHTLY, Trigger.NIGHTLY, Trigger.STAFF), strict=True)
            if each.current
        )
        send.reset_mock()
        PersonaTestRun.objects.filter(pk=first.pk).update(state=State.RUNNING)
        async_to_sync(runs.run)(nightly.pk, TODAY)
        PersonaTestRun.objects.update(moved_at=timezone.now() - timedelta(minutes=2))
        runs.maintain()
        assert not send.called  # one is running
        PersonaTestRun.objects.filter(pk=first.pk).update(state=State.PASSED)
        for _ in range(3):
            runs.maintain()
        offered = [call.args[0] for call in send.call_args_list]
        assert (offered[0], offered.count(staffs.pk)) == (staffs.pk, 1)  # its message was sent just now
    nightly.refresh_from_db()
    assert nightly.state == State.WAITING


def test_a_worker_that_is_done_takes_the_next_run(persona: Persona) -> None:
    save_tests(persona, PASSING)
    other = PersonaFactory.create(published=True, brain="own", model_service=persona.model_service)
    save_tests(other, PASSING)
    assert persona.current
    assert other.current
    with patch.object(runs.run_tests, "delay") as send:
        first, _is_new = runs.begin(persona.current)
        second, _is_new = runs.begin(other.current)
        send.reset_mock()
        runs.run_tests(first.pk)
        send.assert_called_once_with(second.pk)


def test_a_run_has_time_for_its_turns_and_ends_in_a_named_state(
    persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [script.Test(str(number), (script.Turn("Hi"),) * 20) for number in range(50)]
    assert timedelta(hours=5) < runs.time_limit(whole) < timedelta(hours=6)
    assert runs.time_limit(whole[:5]) == timedelta(minutes=50)
    monkeypatch.setattr(runs, "MOST_TIME", timedelta(0))
    save_tests(persona, PASSING)
    run = run_now(persona)
    assert (run.state, run.get_state_display()) == (State.TOO_SLOW, "stopped because it took too long")


def test_old_runs_are_deleted_but_the_newest_of_each_version(persona: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RUNS_KEPT", 2)
    save_tests(persona, PASSING)
    at = timezone.now()
    old, new = versions.newest(persona), versions.save_version(persona)
    assert old
    rows = [
        PersonaTestRun.objects.create(version=version, state=State.PASSED, asked_at=at + timedelta(minutes=minute))
        for minute, version in enumerate((old, old, new, new, new))
    ]
    with patch.object(runs.run_tests, "delay"):
        runs.test_personas()
    left = PersonaTestRun.objects.exclude(state=State.WAITING)
    assert sorted(left.values_list("pk", flat=True)) == [rows[1].pk, rows[3].pk, rows[4].pk]


def test_what_a_model_writes_is_stored_whatever_it_is(persona: Persona) -> None:
    found = {"a": ["x\0y", "\ud800", math.inf], "b\0": {"c": math.nan}}
    assert runs._storable(found) == {"a": ["xy", "?", "inf"], "b": {"c": "nan"}}


def test_damaged_tests_are_named(persona: Persona) -> None:
    save_tests(persona, PASSING)
    PersonaTest.objects.update(turns=[{"say": 7}])
    run = run_now(persona)
    assert run.state == State.FAILED
    [test] = report.of(run)
    assert (test.is_passed, test.turns[0]["failures"]) == (False, ["The stored tests are damaged. Save them again."])


def test_a_version_that_failed_or_answers_from_other_documents_needs_a_reason(persona: Persona) -> None:
    persona.instructions = "You help visitors."
    version = versions.save_version(persona)
    stored = Persona.objects.get(pk=persona.pk)
    save_tests(persona, PASSING)
    assert run_now(persona).state == State.PASSED
    assert publishing.test_problem(stored, version) == ""
    assert persona.library
    upload(persona.library, "more.md", "# Parking\n\nParking is free.")
    version = PersonaVersion.objects.get(pk=version.pk)
    assert "have changed since" in publishing.test_problem(stored, version)
    save_tests(persona, FAILING)
    assert run_now(persona).state == State.FAILED
    save_tests(persona, "tests: []")
    assert "have not passed" in publishing.test_problem(stored, version)


def test_publishing_anyway_looks_at_the_providers_catalogue_first(
    persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used what the last sync had stored."""
    refresh = AsyncMock(side_effect=NotSent("nowhere"))
    monkeypatch.setattr("avatars.personas.publishing.refresh_catalogue", refresh)
    client = Client()
    client.force_login(administrator(), backend="django.contrib.auth.backends.ModelBackend")
    save_tests(persona, FAILING)
    persona.instructions = "You help visitors."
    versions.save_version(persona)
    url = reverse("admin:avatars_persona_tests", args=[persona.pk])
    english = {"accept-language": "en"}
    reason = {"publish": "1", "reason": "The fair opens today."}
    with patch.object(publishing, "problems", return_value={}):  # the voice of the factory speaks Spanish
        shown = client.post(url, reason, follow=True, headers=english).content.decode()
    assert "could not be reached" in shown
    assert "is published as version 2" in shown
    refresh.assert_awaited_once()


def test_staff_who_only_read_change_no_tests(persona: Persona) -> None:
    auditor = UserFactory.create(is_staff=True)
    auditor.groups.add(Group.objects.get_or_create(name=AUDITOR.group)[0])
    sync_roles()
    client = Client()
    client.force_login(auditor, backend="django.contrib.auth.backends.ModelBackend")
    url = reverse("admin:avatars_persona_tests", args=[persona.pk])
    assert client.get(url).status_code == 200
    for sent in ({"save": "1", "tests": FAILING}, {"run": "1"}, {"publish": "1", "reason": "The fair opens today."}):
        assert client.post(url, sent).status_code == 403


def test_staff_edit_run_export_and_publish_on_one_page(persona: Persona) -> None:
    client = Client()
    client.force_login(administrator(), backend="django.contrib.auth.backends.ModelBackend")
    url = reverse("admin:avatars_persona_tests", args=[persona.pk])
    assert "tests[1]" in client.post(url, {"save": "1", "tests": "tests: [{name: A}]"}).content.decode()
    assert client.post(url, {"save": "1", "tests": FAILING}).status_code == 302
    assert AuditEntry.objects.filter(kind="tests_changed").count() == 1
    assert script.read(client.get(url, {"export": "1"}).content.decode()) == script.read(FAILING)
    with patch.object(runs.run_tests, "delay") as send:
        client.post(url, {"run": "1"})
    waiting = client.get(url).content.decode()
    assert "data-under-way" in waiting
    assert 'http-equiv="refresh"' not in waiting  # the tests may be being edited
    async_to_sync(runs.run)(send.call_args.args[0], TODAY)
    shown = client.get(url).content.decode()
    assert "data-under-way" not in shown
    assert "contains: 13 euros" in shown
    assert "no se cumple" in shown
