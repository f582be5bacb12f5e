"""One's own conversations: found, read, taken along, and nobody else's."""

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
def visitor(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


def talked(user: User, *lines: str, **fields: Any) -> StreamingSession:
    """A conversation that is over: the person's words and the avatar's take turns."""
    session = StreamingSessionFactory.create(user=user, status=Status.ENDED, **fields)
    for place, text in enumerate(lines):
        who, by = ("avatar", "voice") if place % 2 else ("user", "text")
        at = session.created_at + timedelta(seconds=place)
        session.utterances.create(who=who, by=by, text=text, source="portal", at=at)
    return session


def found(client: Client, query: str = "") -> list[str]:
    return [session.said or "" for session in client.get(f"/conversations/?{query}").context["page"]]


def page_of(client: Client, address: str, language: str = "en") -> str:
    return client.get(address, headers={"accept-language": language}).content.decode()


def test_what_was_said_is_found_again_by_words_persona_and_day(visitor: Client, person: User) -> None:
    """Complaint 17."""
    lucia, daniel = (PersonaFactory.create(slug=slug, published=True) for slug in ("lucia", "daniel"))
    talked(person, "Quiero una cita", "Claro", persona=lucia, created_at=datetime(2026, 1, 10, 12, tzinfo=UTC))
    talked(person, "My invoice", "Your CITA is paid", persona=daniel, created_at=datetime(2026, 2, 10, 12, tzinfo=UTC))
    assert found(visitor) == ["My invoice", "Quiero una cita"]
    assert found(visitor, "q=cita") == ["Your CITA is paid", "Quiero una cita"]
    assert found(visitor, "q=cita&persona=lucia") == ["Quiero una cita"]
    assert found(visitor, "from=2026-01-11") == ["My invoice"]
    assert found(visitor, "from=2026-01-10&to=2026-01-10") == ["Quiero una cita"]
    assert found(visitor, "from=2026-02-30&to=nonsense&page=x") == ["My invoice", "Quiero una cita"]
    assert "<mark>CITA</mark>" in page_of(visitor, "/conversations/?q=cita")


def test_nobody_sees_anothers_conversation_and_nobody_learns_that_there_is_one(visitor: Client) -> None:
    theirs = talked(EndUserFactory.create(), "A secret")
    assert found(visitor) == []
    assert found(visitor, "q=secret") == []
    for address in (f"/conversations/{theirs.pk}/", f"/conversations/{uuid4()}/"):
        assert visitor.get(address).status_code == 404
        assert visitor.get(f"{address}transcript.txt").status_code == 404


def test_whoever_never_could_talk_has_an_empty_list_that_the_menu_does_not_offer(client: Client) -> None:
    client.force_login(UserFactory.create())
    assert client.get("/conversations/").context["page"].object_list == []
    assert "/conversations/" not in client.get("/").content.decode()


def test_whoever_lost_the_role_reads_but_is_not_offered_to_talk_again(client: Client) -> None:
    former = UserFactory.create()
    session = talked(former, "Hola", persona__published=True)
    client.force_login(former)
    page = page_of(client, f"/conversations/{session.pk}/")
    assert "Hola" in page
    assert session.persona.get_absolute_url() not in page


def test_a_conversation_is_read_with_times_cuts_and_the_reason_of_its_end(visitor: Client, person: User) -> None:
    session = talked(person, "<b>Hola</b>", "Buenas tardes", end_reason=EndReason.IDLE)
    session.utterances.filter(who="avatar").update(is_interrupted=True)
    page = page_of(visitor, f"/conversations/{session.pk}/", "es")
    assert "&lt;b&gt;Hola" in page
    assert "Terminó por inactividad" in page
    assert page.count("interrumpida") == 1
    assert f"{timezone.localtime(session.created_at):%H:%M:%S}" in page
    assert f"/personas/{session.persona.slug}/?continues={session.pk}" in page


def test_a_conversation_in_several_sessions_is_read_from_one_to_the_next(visitor: Client, person: User) -> None:
    """Complaints 7 and 15."""
    first = talked(person, "Hola")
    second = talked(person, "Hello", continues=first)
    before, after = f'href="/conversations/{first.pk}/"', f'href="/conversations/{second.pk}/"'
    pages = [page_of(visitor, f"/conversations/{session.pk}/") for session in (first, second)]
    assert [(before in page, after in page) for page in pages] == [(False, True), (True, False)]


def test_a_transcript_is_taken_along_as_text(visitor: Client, person: User) -> None:
    session = talked(person, "Hola ¿cómo estás?", "Bien", created_at=datetime(2026, 1, 10, 12, tzinfo=UTC))
    answer = visitor.get(f"/conversations/{session.pk}/transcript.txt", headers={"accept-language": "es"})
    assert answer.content.decode() == "[12:00:00] Tú: Hola ¿cómo estás?\n[12:00:01] Lucía: Bien\n"
    assert answer["Content-Disposition"] == f'attachment; filename="{session.persona.slug}-2026-01-10T1200.txt"'
    assert "no-store" in answer["Cache-Control"]


def test_a_persona_that_is_no_longer_published_cannot_be_talked_with_again(visitor: Client, person: User) -> None:
    session = talked(person, "Hola", persona=PersonaFactory.create(slug="hugo"))
    assert "/personas/hugo/" not in page_of(visitor, f"/conversations/{session.pk}/")


def test_pages_cost_the_same_however_much_was_said(
    visitor: Client, person: User, django_assert_max_num_queries: Any
) -> None:
    persona = PersonaFactory.create(published=True)
    for _ in range(45):
        session = talked(person, *("palabra",) * 4, persona=persona)
    with django_assert_max_num_queries(10):
        visitor.get("/conversations/?q=palabra&page=2")
    with django_assert_max_num_queries(15):
        visitor.get(f"/conversations/{session.pk}/")
    pages = [len(found(visitor, f"page={number}")) for number in (1, 2, 3)]
    assert pages == [20, 20, 5]
    assert "?q=palabra&amp;page=3" in page_of(visitor, "/conversations/?q=palabra&page=2")


def test_what_was_a_trial_says_so(visitor: Client, person: User) -> None:
    tried = talked(person, "Does it hear me?", purpose=Purpose.TRIAL)
    talked(person, "My invoice")
    assert page_of(visitor, "/conversations/").count(">Trial<") == 1
    assert ">Prueba<" in page_of(visitor, f"/conversations/{tried.pk}/", "es")
