"""Searches ignore accents and case, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sessions.exports import filters
from sessions.models import StreamingSession
from tests.support.factories import KnowledgeBaseFactory, PersonaFactory, StreamingSessionFactory, UserFactory

NAMES = [
    "Lucía",
    "LUCÍA",
    "Luci\u0301a",
    "Muñoz",
    "STRASSE",
    "Straße",
    "Bjørn",
    "Łódź",
    "Ελλάδα",
    "ΕΛΛΆΣ",
    "Москва",
    "50% off_\\",
    "東京",
]
FOUND_BY = {
    "lucia": NAMES[:3],
    "LÚCIA": NAMES[:3],
    "uci": NAMES[:3],
    "munoz": ["Muñoz"],
    "MUÑOZ": ["Muñoz"],
    "strasse": ["STRASSE", "Straße"],
    "bjorn": ["Bjørn"],
    "lodz": ["Łódź"],
    "ελλαδα": ["Ελλάδα"],
    "ελλας": ["ΕΛΛΆΣ"],
    "МОСКВА": ["Москва"],
    "0% off_\\": ["50% off_\\"],
    "%": ["50% off_\\"],
    "_": ["50% off_\\"],
    "東": ["東京"],
    "lucas": [],
}


@pytest.fixture(params=["sqlite", "postgresql"])
def each_database(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("transactional_db" if request.param == "sqlite" else "postgres")


@pytest.mark.usefixtures("each_database")
def test_a_text_is_found_regardless_of_accents_and_case() -> None:
    User.objects.bulk_create(User(username=str(number), first_name=name) for number, name in enumerate(NAMES))

    def found(**condition: str) -> list[str]:
        return sorted(User.objects.filter(**condition).values_list("first_name", flat=True))

    assert {query: found(first_name__folded=query) for query in FOUND_BY} == {
        query: sorted(names) for query, names in FOUND_BY.items()
    }
    assert found(first_name__folded_exact="lucia") == sorted(NAMES[:3])
    assert found(first_name__folded_exact="luci") == []


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["lucia", "LUCIA", "LUCÍA", "lucía"])
def test_every_search_finds_accented_names(query: str, admin_client: Client, admin_user: User) -> None:
    PersonaFactory.create(name="Lucía", slug="one", published=True)
    KnowledgeBaseFactory.create(name="Guía de Lucía")
    user = UserFactory.create(first_name="Lucía")
    for address, shown in (
        ("/", "/personas/one/"),
        ("/admin/avatars/persona/", "Lucía"),
        ("/admin/avatars/knowledgebase/", "Guía de Lucía"),
        ("/admin/auth/user/", f"/{user.pk}/change/"),
    ):
        assert shown in admin_client.get(address, {"q": query}).content.decode(), address
        assert shown not in admin_client.get(address, {"q": "nobody"}).content.decode(), address


@pytest.mark.django_db
def test_the_list_of_sessions_finds_names_of_users_and_personas() -> None:
    of_user = StreamingSessionFactory.create(user=UserFactory.create(username="José"), persona__name="Daniel")
    of_persona = StreamingSessionFactory.create(persona__name="Lucía")

    def found(query: str) -> list[StreamingSession]:
        return list(filters.matching(StreamingSession.objects.all(), query))

    assert (found("jose"), found("JOSÉ"), found("lucia")) == ([of_user], [of_user], [of_persona])
    assert found("jos") == []  # users are found by their whole names
