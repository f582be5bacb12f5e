"""Operations on tests of personas and their runs, and on publishing, which depends on them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from ninja import Field, Path, Query, Schema
from ninja.responses import Status as Answer

from avatars.models import Persona, PersonaTestRun
from avatars.personas import publishing, versions
from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.providers.contract.provider import CredentialRefused
from heygen_portal.rest import pages, problems
from heygen_portal.rest.operations import ApiRequest, Operations, body_of
from heygen_portal.rest.pages import Page, PageQuery
from heygen_portal.rest.problems import Problem
from heygen_portal.rest.schemas import Input, Key, Text
from heygen_portal.runtime import budgets
from heygen_portal.runtime.in_thread import in_thread
from sessions.actions import staff_reasons
from sessions.persona_tests import report, runs, script, store
from sessions.persona_tests.script import ScriptError, Test

operations = Operations("Tests of personas")
READ, WRITE, PUBLISH = (Scope.TESTS_READ,), (Scope.TESTS_WRITE,), (Scope.PERSONAS_PUBLISH,)
JSON, YAML = "application/json", "application/yaml"


class PersonaTests(Schema):
    """The tests of a persona, as in its YAML."""

    tests: list[dict[str, Any]] = Field(description="Each has a `name` and `turns` of `say` and `expect`.")


class TestRunOut(Schema):
    """A run of all tests of a persona with one of its versions."""

    id: int
    persona: str
    version: int
    trigger: str = Field(description="`staff`, `nightly` or `changed`.")
    state: str = Field(description="`waiting`, `running`, `passed`, `failed`, `capped`, `too_slow` or `lost`.")
    requested_at: datetime
    requested_by: int | None = Field(description="ID of the user.")
    turns_done: int
    turns: int
    library_version: int
    tokens: int
    credits: float

    @classmethod
    def of(cls, row: PersonaTestRun) -> TestRunOut:
        return cls(
            id=row.pk,
            persona=row.version.persona.slug,
            version=row.version.number,
            trigger=row.trigger,
            state=row.state,
            requested_at=row.asked_at,
            requested_by=row.asked_by_id,
            turns_done=row.done,
            turns=row.total,
            library_version=row.library_version,
            tokens=row.tokens,
            credits=float(row.cost),
        )


class ExpectationOut(Schema):
    """An expectation, and why it was not met."""

    expectation: str
    is_met: bool
    problem: str = Field(description="In the caller's language, or the judging model's words. Empty if it was met.")


class TestTurnOut(Schema):
    """What was said and answered."""

    say: str
    answer: str
    cites: str = Field(description="Titles of documents.")
    expectations: list[ExpectationOut]
    failures: list[str] = Field(description="Codes of failures of the model.")


class TestOut(Schema):
    """The result of one test."""

    name: str
    is_passed: bool
    change: str = Field(description="Against the run before: `new`, `mended`, `broken`, or empty.")
    turns: list[TestTurnOut]

    @classmethod
    def of(cls, shown: report.TestReport) -> TestOut:
        return cls(
            name=shown.name, is_passed=shown.is_passed, change=shown.change, turns=[_turn(turn) for turn in shown.turns]
        )


class TestRunReport(TestRunOut):
    """A run with the result of each test, those that fail first."""

    tests_failed: int
    tests: list[TestOut]


class Publication(Schema):
    """Whether a persona is published, and which of its versions."""

    slug: str
    is_published: bool
    version: int
    published_at: datetime | None

    @classmethod
    def of(cls, row: Persona) -> Publication:
        is_published = row.status == Persona.Status.PUBLISHED
        published_at = row.published_at if is_published else None
        return cls(slug=row.slug, is_published=is_published, version=row.version, published_at=published_at)


class NewPublication(Input):
    """The version to publish."""

    version: Key | None = Field(None, description="null: the newest.")
    despite_tests: Text = Field(
        "",
        max_length=staff_reasons.MAX_REASON_CHARACTERS,
        description="Why a version is published whose tests have not passed. Kept in the audit log.",
    )


TESTS_BODY: dict[str, Any] = {
    JSON: {"$ref": "#/components/schemas/PersonaTests"},
    YAML: {"type": "string", "description": "As it is exported by the administration."},
}


def _turn(turn: dict[str, Any]) -> TestTurnOut:
    expected = [
        ExpectationOut(expectation=words, is_met=is_met, problem=problem) for words, problem, is_met in turn["expected"]
    ]
    failures = [code for code in turn["codes"] if code]
    say, answer = str(turn["say"]), str(turn["answer"])
    return TestTurnOut(say=say, answer=answer, cites=turn["cited"], expectations=expected, failures=failures)


# Tests


@operations.get("/personas/{slug:slug}/tests", scopes=READ, response=PersonaTests)
async def get_persona_tests(request: ApiRequest, slug: Path[str]) -> PersonaTests | HttpResponse:
    """Return the tests of a persona: as JSON, or with `Accept: application/yaml` as YAML."""
    tests = await in_thread(_tests)(slug)
    if request.get_preferred_type([JSON, YAML]) == YAML:
        return HttpResponse(script.write(tests), content_type=f"{YAML}; charset=utf-8")
    return _shown(tests)


def _tests(slug: str) -> list[Test]:
    try:
        return store.tests_of(_persona(slug).pk)
    except ScriptError as exc:  # changed by SQL
        raise Problem(409, "tests_damaged", _("The stored tests cannot be read."), detail=str(exc)) from exc


@operations.put("/personas/{slug:slug}/tests", scopes=WRITE, response=PersonaTests, takes=TESTS_BODY)
async def replace_persona_tests(request: ApiRequest, slug: Path[str]) -> PersonaTests:
    """Replace the tests of a persona, sent as JSON or YAML. Tests that are not in the body are deleted."""
    await _spend_staff_action(request.caller)
    return await in_thread(_replace)(request, slug)


def _replace(request: ApiRequest, slug: str) -> PersonaTests:
    body, persona = body_of(request, script.MAX_BYTES, JSON, YAML), _changeable(request.caller, slug)
    try:
        text = body.decode()
        tests = script.of_data(json.loads(text)) if request.content_type == JSON else script.read(text)
    except ScriptError as exc:
        raise Problem(422, "tests_refused", _("These tests are not possible."), detail=str(exc)) from exc
    except (ValueError, RecursionError) as exc:
        raise problems.unreadable_body() from exc
    store.save(persona, tests, request.caller.actor)
    return _shown(tests)


def _shown(tests: list[Test]) -> PersonaTests:
    return PersonaTests(tests=[test.as_data() for test in tests])


# Runs


@operations.post("/personas/{slug:slug}/test-runs", scopes=WRITE, response={201: TestRunOut}, costs_money=True)
async def start_test_run(request: ApiRequest, slug: Path[str]) -> Answer[TestRunOut]:
    """Run the tests with the persona's newest version, which uses tokens. The worker runs them.

    If that version is being tested already, the answer is that run.
    """
    await _spend_staff_action(request.caller)
    return Answer(201, await in_thread(_start)(request.caller, slug))


def _start(caller: Caller, slug: str) -> TestRunOut:
    version = versions.newest(_changeable(caller, slug))
    try:
        if version is None:
            raise runs.NothingToTest
        run, _is_new = runs.begin(version, asked_by=caller.user_id)
    except runs.NothingToTest as exc:
        raise Problem(409, "nothing_to_test", _("There is nothing to test.")) from exc
    return TestRunOut.of(run)


@operations.get("/personas/{slug:slug}/test-runs", scopes=READ, response=Page[TestRunOut])
async def list_test_runs(request: ApiRequest, slug: Path[str], query: Query[PageQuery]) -> Page[TestRunOut]:
    """List the runs of a persona's tests, the newest first."""
    return await in_thread(_runs)(slug, query)


def _runs(slug: str, query: PageQuery) -> Page[TestRunOut]:
    rows = PersonaTestRun.objects.filter(version__persona=_persona(slug)).select_related("version__persona")
    found, next_cursor = pages.read(rows.defer("results"), query, by="asked_at")
    return Page(items=[TestRunOut.of(row) for row in found], next_cursor=next_cursor)


@operations.get("/personas/{slug:slug}/test-runs/{run_id}", scopes=READ, response=TestRunReport)
async def get_test_run(request: ApiRequest, slug: Path[str], run_id: Path[Key]) -> TestRunReport:
    """Return the report of a run: each answer, and which expectations were not met."""
    return await in_thread(_report)(slug, run_id)


def _report(slug: str, run_id: int) -> TestRunReport:
    rows = PersonaTestRun.objects.filter(version__persona=_persona(slug)).select_related("version__persona")
    run = rows.filter(pk=run_id).first()
    if run is None:
        raise problems.not_found()
    shown, failed = [TestOut.of(each) for each in report.of(run)], report.failed_count(run)
    return TestRunReport(**TestRunOut.of(run).model_dump(), tests_failed=failed, tests=shown)


# Publishing


@operations.post("/personas/{slug:slug}/publish", scopes=PUBLISH, response=Publication)
async def publish_persona(request: ApiRequest, slug: Path[str], body: NewPublication) -> Publication:
    """Publish a version of a persona. Repeating it changes nothing.

    If that is not possible, the problem `persona_refused` has `fields` with what to change in each. The field `tests`
    is about tests that have not passed: `despite_tests` publishes all the same.
    """
    await _spend_staff_action(request.caller)
    # In the request's own thread, as a page: the service asks the provider for its catalogue.
    return await sync_to_async(_publish)(request.caller, slug, body)


def _publish(caller: Caller, slug: str, body: NewPublication) -> Publication:
    persona = _changeable(caller, slug)
    reason = staff_reasons.checked(body.despite_tests) if body.despite_tests else ""
    version = versions.with_number(persona, body.version) if body.version else None
    if body.version and version is None:
        raise problems.not_found()
    try:
        publishing.refresh_and_publish(persona, version, actor=caller.actor, despite_tests=reason)
    except CredentialRefused as exc:
        account = (version or persona).avatar.account
        words = _("%(account)s: the provider does not accept the key (%(detail)s).")
        raise Problem(502, "provider_refused", words % {"account": account, "detail": exc}) from exc
    except ValidationError as exc:
        title, detail = _("This persona cannot be published."), " ".join(exc.messages)
        raise Problem(409, "persona_refused", title, detail=detail, fields=exc.message_dict) from exc
    return Publication.of(_persona(slug))


@operations.post("/personas/{slug:slug}/unpublish", scopes=PUBLISH, response=Publication)
async def unpublish_persona(request: ApiRequest, slug: Path[str]) -> Publication:
    """Take a persona out of the gallery. Running sessions go on. Repeating it changes nothing."""
    await _spend_staff_action(request.caller)
    return await in_thread(_unpublish)(request.caller, slug)


def _unpublish(caller: Caller, slug: str) -> Publication:
    publishing.unpublish(_changeable(caller, slug), actor=caller.actor)
    return Publication.of(_persona(slug))


def _persona(slug: str) -> Persona:
    row = Persona.objects.select_related("avatar__account").filter(slug=slug).first()
    if row is None:
        raise problems.not_found()
    return row


def _changeable(caller: Caller, slug: str) -> Persona:
    """Return a persona that the caller may change. Raises Problem if it costs money, and the key is for tests."""
    persona = _persona(slug)
    if caller.is_test:
        draft = versions.as_draft(persona)
        if not all(each.is_emulated for each in (draft.avatar.account, draft.model_service) if each):
            raise problems.test_key()
    return persona


async def _spend_staff_action(caller: Caller) -> None:
    await budgets.spend("staff_action", person=caller.user_id, address=caller.address)
