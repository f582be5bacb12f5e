"""A user's own conversations: search, read and download, and none of other users."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from sessions.models import EndReason, Purpose, Status, StreamingSession
from tests.support.factories import EndUserFactory, PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> User:
    return EndUserFactory.create()


@pytest.fixture
def browser_client(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


def make_conversation(user: User, *lines: str, **fields: Any) -> StreamingSession:
    """Create an ended conversation whose lines alternate between user and avatar."""
    session = StreamingSessionFactory.create(user=user, status=Status.ENDED, **fields)
    for place, text in enumerate(lines):
        who, by = ("avatar", "voice") if place % 2 else ("user", "text")
        at = session.created_at + timedelta(seconds=place)
        session.utterances.create(who=who, by=by, text=text, source="portal", at=at)
    return session


def found_lines(client: Client, query: str = "") -> list[str]:
    return [session.said or "" for session in client.get(f"/conversations/?{query}").context["page"]]


def page_of(client: Client, address: str, language: str = "en") -> str:
    return client.get(address, headers={"accept-language": language}).content.decode()


def test_conversations_are_found_by_words_persona_and_day(browser_client: Client, person: User) -> None:
    """Complaint 17."""
    lucia, daniel = (PersonaFactory.create(slug=slug, published=True) for slug in ("lucia", "daniel"))
    make_conversation(
        person, "Quiero una cita", "Claro", persona=lucia, created_at=datetime(2026, 1, 10, 12, tzinfo=UTC)
    )
    make_conversation(
        person, "My invoice", "Your CITA is paid", persona=daniel, created_at=datetime(2026, 2, 10, 12, tzinfo=UTC)
    )
    assert found_lines(browser_client) == ["My invoice", "Quiero una cita"]
    assert found_lines(browser_client, "q=cita") == ["Your CITA is paid", "Quiero una cita"]
    assert found_lines(browser_client, "q=cita&persona=lucia") == ["Quiero una cita"]
    assert found_lines(browser_client, "from=2026-01-11") == ["My invoice"]
    assert found_lines(browser_client, "from=2026-01-10&to=2026-01-10") == ["Quiero una cita"]
    assert found_lines(browser_client, "from=2026-02-30&to=nonsense&page=x") == ["My invoice", "Quiero una cita"]
    assert "<mark>CITA</mark>" in page_of(browser_client, "/conversations/?q=cita")


def test_another_persons_conversation_is_not_found(browser_client: Client) -> None:
    theirs = make_conversation(EndUserFactory.create(), "A secret")
    assert found_lines(browser_client) == []
    assert found_lines(browser_client, "q=secret") == []
    for address in (f"/conversations/{theirs.pk}/", f"/conversations/{uuid4()}/"):
        assert browser_client.get(address).status_code == 404
        assert browser_client.get(f"{address}transcript.txt").status_code == 404


def test_a_person_who_could_never_talk_has_an_empty_list_without_a_menu_entry(client: Client) -> None:
    client.force_login(UserFactory.create())
    assert client.get("/conversations/").context["page"].object_list == []
    assert "/conversations/" not in client.get("/").content.decode()


def test_a_person_who_lost_the_role_can_read_but_not_talk_again(client: Client) -> None:
    former = UserFactory.create()
    session = make_conversation(former, "Hola", persona__published=True)
    client.force_login(former)
    page = page_of(client, f"/conversations/{session.pk}/")
    assert "Hola" in page
    assert session.persona.get_absolute_url() not in page


def test_text_that_runs_from_right_to_left_keeps_its_direction(browser_client: Client, person: User) -> None:
    session = make_conversation(person, "مرحبا! كيف حالك؟", "שלום!")
    page = page_of(browser_client, f"/conversations/{session.pk}/")
    assert 'dir="auto">مرحبا! كيف حالك؟</p>' in page
    assert 'dir="auto">שלום!</p>' in page
    assert 'dir="auto">مرحبا! كيف حالك؟</p>' in page_of(browser_client, "/conversations/")


def test_a_conversation_shows_times_interruptions_and_its_end_reason(browser_client: Client, person: User) -> None:
    session = make_conversation(person, "<b>Hola</b>", "Buenas tardes", end_reason=EndReason.IDLE)
    session.utterances.filter(who="avatar").update(is_interrupted=True)
    page = page_of(browser_client, f"/conversations/{session.pk}/", "es")
    assert "&lt;b&gt;Hola" in page
    assert "Terminó por inactividad" in page
    assert page.count("interrumpida") == 1
    assert f"{timezone.localtime(session.created_at):%H:%M:%S}" in page
    assert f"/personas/{session.persona.slug}/?continues={session.pk}" in page


def test_sessions_of_one_conversation_link_to_each_other(browser_client: Client, person: User) -> None:
    """Complaints 7 and 15."""
    first = make_conversation(person, "Hola")
    second = make_conversation(person, "Hello", continues=first)
    before, after = f'href="/conversations/{first.pk}/"', f'href="/conversations/{second.pk}/"'
    pages = [page_of(browser_client, f"/conversations/{session.pk}/") for session in (first, second)]
    assert [(before in page, after in page) for page in pages] == [(False, True), (True, False)]


def test_a_transcript_is_downloaded_as_text(browser_client: Client, person: User) -> None:
    session = make_conversation(person, "Hola ¿cómo estás?", "Bien", created_at=datetime(2026, 1, 10, 12, tzinfo=UTC))
    answer = browser_client.get(f"/conversations/{session.pk}/transcript.txt", headers={"accept-language": "es"})
    title = "Las horas son las de UTC.\n\n"
    assert answer.content.decode() == f"{title}[12:00:00] Tú: Hola ¿cómo estás?\n[12:00:01] Lucía: Bien\n"
    assert answer["Content-Disposition"] == f'attachment; filename="{session.persona.slug}-2026-01-10T1200+0000.txt"'
    assert "no-store" in answer["Cache-Control"]


def test_text_that_runs_from_right_to_left_does_not_move_a_transcripts_time(
    browser_client: Client, person: User
) -> None:
    session = make_conversation(person, "مرحبا!", "Hola", created_at=datetime(2026, 1, 10, 12, tzinfo=UTC))
    answer = browser_client.get(f"/conversations/{session.pk}/transcript.txt", headers={"accept-language": "es"})
    lines = answer.content.decode().splitlines()[2:]
    assert lines == ["[12:00:00] Tú: \u2068مرحبا!\u2069", "[12:00:01] Lucía: Hola"]


def test_a_conversation_with_an_unpublished_persona_has_no_link_to_talk_again(
    browser_client: Client, person: User
) -> None:
    session = make_conversation(person, "Hola", persona=PersonaFactory.create(slug="hugo"))
    assert "/personas/hugo/" not in page_of(browser_client, f"/conversations/{session.pk}/")


def test_pages_need_a_fixed_number_of_queries(
    browser_client: Client, person: User, django_assert_max_num_queries: Any
) -> None:
    persona = PersonaFactory.create(published=True)
    for _ in range(45):
        session = make_conversation(person, *("palabra",) * 4, persona=persona)
    with django_assert_max_num_queries(10):
        browser_client.get("/conversations/?q=palabra&page=2")
    with django_assert_max_num_queries(15):
        browser_client.get(f"/conversations/{session.pk}/")
    pages = [len(found_lines(browser_client, f"page={number}")) for number in (1, 2, 3)]
    assert pages == [20, 20, 5]
    assert "?q=palabra&amp;page=3" in page_of(browser_client, "/conversations/?q=palabra&page=2")


def test_a_trial_is_marked(browser_client: Client, person: User) -> None:
    tried = make_conversation(person, "Does it hear me?", purpose=Purpose.TRIAL)
    make_conversation(person, "My invoice")
    assert page_of(browser_client, "/conversations/").count(">Trial<") == 1
    assert ">Prueba<" in page_of(browser_client, f"/conversations/{tried.pk}/", "es")
