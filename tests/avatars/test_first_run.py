"""A fresh portal has two users, a catalogue and two personas that answer from documents."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import date

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, override_settings

from avatars.models import Avatar, ModelService, Persona, ProviderAccount
from avatars.models.personas import MAX_STARTERS
from heygen_portal.trail.models import AuditEntry
from sessions.brain import answering, sources
from tests.support import servers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def catalogue_emulator() -> Iterator[servers.Emulator]:
    with servers.emulator(media=False) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def use_emulator(catalogue_emulator: servers.Emulator) -> Iterator[None]:
    with override_settings(EMULATOR_URL=catalogue_emulator.url, EMULATOR_API_KEY=catalogue_emulator.api_key):
        yield


def run(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    call_command("first_run", *args)
    return capsys.readouterr().out


def passwords(output: str) -> dict[str, str]:
    return dict(re.findall(r"Sign in as (\w+) with the password (\S+)", output))


@pytest.fixture(scope="module")
def stored_run() -> Iterator[list[tuple[sqlite3.Connection, str]]]:
    """Yield the database after a first run and its output, once a test has run it."""
    stored: list[tuple[sqlite3.Connection, str]] = []
    yield stored
    for database, _output in stored:
        database.close()


@pytest.fixture
def first_output(capsys: pytest.CaptureFixture[str], stored_run: list[tuple[sqlite3.Connection, str]]) -> str:
    """Return the output of a first run.

    The first test runs it; the others restore the database that it left.
    """
    if stored_run:
        ((database, output),) = stored_run
        connection.ensure_connection()
        database.backup(connection.connection)
        return output
    output = run(capsys)
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    connection.connection.backup(copy)
    stored_run.append((copy, output))
    return output


@pytest.mark.usefixtures("first_output")
def test_the_first_run_publishes_two_personas() -> None:
    lucia, daniel = Persona.objects.published().order_by("-slug")
    assert (lucia.slug, lucia.language, lucia.name) == ("lucia", "es", "Lucía")
    assert (daniel.slug, daniel.language) == ("daniel", "en")
    for persona in (lucia, daniel):
        assert persona.voice
        assert persona.voice.language == persona.language
        assert persona.knowledge_base
        assert persona.avatar.preview_url
        with override_settings(PORTAL_URL="http://127.0.0.1:8000"):
            assert persona.takes_text
            assert persona.takes_voice
    assert not Avatar.objects.get(name="Hugo", account__kind="heygen").is_active


# What a newcomer may ask, and words of the answer; "" if no document has it.
QUESTIONS = {
    "lucia": {
        "¿Dónde está la clínica?": "calle Mayor 12",
        "¿Abren los domingos?": "cerrada",
        "¿Aceptan seguros médicos?": "No se aceptan",
        "¿Atienden urgencias?": "No se atienden",
        "¿Me dan factura?": "en el momento",
        "¿Quién eres?": "Lucía",
        "¿Quién ganó el mundial de fútbol?": "",
        "¿Qué tiempo hace hoy?": "",
        "¿Venden gafas?": "",
    },
    "daniel": {
        "I forgot my password": "choose Forgot password",
        "What plans are there?": "three plans",
        "Do you have discounts for schools?": "half the price",
        "What is your phone number?": "no phone number",
        "Who are you?": "Daniel",
        "Who won the football?": "",
        "Do you have an app for iPhone?": "no app",
        "Do you sell laptops?": "",
        "Where is your office?": "",
    },
}
# The answers to the questions that the page suggests.
SUGGESTED = {
    "lucia": ("de 8 a 20", "40 euros", "24 horas antes", "ocho horas"),
    "daniel": ("choose Forgot password", "20 euros", "Account, Billing", "14 days"),
}


@pytest.mark.usefixtures("first_output")
@pytest.mark.parametrize("slug", QUESTIONS)
def test_a_newcomer_gets_a_cited_answer_or_none(slug: str) -> None:
    persona = Persona.objects.get(slug=slug)
    suggested = dict(zip(persona.suggested_questions, SUGGESTED[slug], strict=True))
    assert len(suggested) == MAX_STARTERS
    for question, words in (suggested | QUESTIONS[slug]).items():
        outcome, said, citations = ask(persona, question)
        if not words:
            assert (outcome, citations) == (answering.Outcome.NO_ANSWER, 0), question
            continue
        assert words in said, question
        assert bool(citations) is (outcome == answering.Outcome.ANSWERED), question
        assert citations or question not in suggested, question


def ask(persona: Persona, question: str) -> tuple[answering.Outcome, str, int]:
    """Return how the answer ended, its words, and how many citations it has."""
    assert persona.current
    assert persona.library
    found = sources.of_version(persona.current, persona.library.pk, persona.library.version)

    async def answered() -> list[answering.Part]:
        parts = answering.answer(
            question,
            [],
            found.brain,
            stream=found.stream,
            search=found.search,
            find_written=found.find_written,
            today=date(2026, 12, 1),
        )
        return [part async for part in parts]

    *parts, end = async_to_sync(answered)()
    assert isinstance(end, answering.Ended)
    sentences = [part for part in parts if isinstance(part, answering.Sentence)]
    return end.outcome, " ".join(part.text for part in sentences), sum(len(part.citations) for part in sentences)


def test_both_users_can_sign_in_with_the_printed_passwords(first_output: str) -> None:
    printed = passwords(first_output)
    assert set(printed) == {"admin", "demo"}
    for username, password in printed.items():
        response = Client().post("/accounts/login/", {"login": username, "password": password})
        assert response.status_code == 302
    assert User.objects.get(username="admin").has_perm("avatars.change_provideraccount")
    assert User.objects.get(username="demo").has_perm("avatar_sessions.start_streamingsession")
    assert not User.objects.get(username="demo").is_staff


@pytest.mark.usefixtures("first_output")
def test_the_second_run_changes_nothing_and_prints_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    Persona.objects.filter(slug="daniel").delete()
    hashes = set(User.objects.values_list("password", flat=True))
    assert passwords(run(capsys)) == {}
    assert set(User.objects.values_list("password", flat=True)) == hashes
    assert Persona.objects.count() == 1  # what staff took away stays away
    assert ProviderAccount.objects.count() == 2  # one for each wire of the emulator


def test_reset_passwords_replaces_both_passwords(capsys: pytest.CaptureFixture[str], first_output: str) -> None:
    first, second = passwords(first_output), passwords(run(capsys, "--reset-passwords"))
    assert set(first) == set(second)
    assert not set(first.values()) & set(second.values())


def test_a_new_emulator_address_is_stored(
    capsys: pytest.CaptureFixture[str], catalogue_emulator: servers.Emulator
) -> None:
    ProviderAccount.objects.create(name="Emulator", base_url="http://127.0.0.1:1", api_key="old", monthly_cap=5)
    run(capsys, "--no-personas")
    account = ProviderAccount.objects.get(kind="heygen")
    assert (account.base_url, account.api_key) == (catalogue_emulator.url, catalogue_emulator.api_key)
    assert account.monthly_cap == 5  # what staff set stays
    assert not Persona.objects.exists()


def test_the_emulators_models_are_a_service_that_staff_can_rename(
    capsys: pytest.CaptureFixture[str], first_output: str, catalogue_emulator: servers.Emulator
) -> None:
    service = ModelService.objects.get()
    assert (service.base_url, service.api_key) == (f"{catalogue_emulator.url}/v1", catalogue_emulator.api_key)
    assert (service.chat_model, service.is_emulated) == ("emulated-chat", True)
    ModelService.objects.update(base_url="http://127.0.0.1:1/v1", chat_model="emulated-obedient")
    run(capsys)
    service.refresh_from_db()
    assert service.is_emulated
    assert service.chat_model == "emulated-obedient"  # what staff set stays


@pytest.mark.parametrize(("setting", "value"), [("EMULATOR_URL", "http://127.0.0.1:1"), ("EMULATOR_API_KEY", "wrong")])
def test_an_unreachable_emulator_is_named(setting: str, value: str) -> None:
    with override_settings(**{setting: value}), pytest.raises(CommandError, match="emulator at http"):
        call_command("first_run")


@pytest.mark.usefixtures("first_output")
def test_the_first_run_is_audited_once(capsys: pytest.CaptureFixture[str]) -> None:
    synced, other = ("catalogue_synced", "Emulator"), "Emulator (LiveAvatar)"
    first = [
        ("access_changed", "admin"), ("password_set", "admin"), ("access_changed", "demo"), ("password_set", "demo"),
        ("account_changed", "Emulator"), ("key_set", "Emulator"), ("account_changed", other), ("key_set", other),
        *[synced] * 3, *[("catalogue_synced", other)] * 3, ("model_changed", "Emulator"), ("model_key_set", "Emulator"),
        ("version_saved", "Lucía"), ("published", "Lucía"), ("version_saved", "Daniel"), ("published", "Daniel"),
    ]  # fmt: skip
    run(capsys)
    entries = AuditEntry.objects.order_by("number")
    assert list(entries.exclude(kind="library_changed").values_list("kind", "about")) == first
    before = entries.count()
    run(capsys, "--reset-passwords")
    assert AuditEntry.objects.count() == before + 2


def test_without_an_emulator_only_users_are_created(capsys: pytest.CaptureFixture[str]) -> None:
    with override_settings(EMULATOR_URL="", EMULATOR_API_KEY=""):
        assert set(passwords(run(capsys))) == {"admin", "demo"}
    assert not ProviderAccount.objects.exists()
