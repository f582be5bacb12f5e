"""Superseded passages leave the index once no session can find them, and stay to be cited."""

from __future__ import annotations

import pytest

from avatars.documents.search import search
from avatars.models import Chunk, Library
from sessions.models import Status, StreamingSession
from sessions.retention import superseded
from tests.avatars.documents.uploads import replace, upload
from tests.support.factories import PersonaFactory, StreamingSessionFactory

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def test_superseded_passages_are_forgotten_when_the_last_session_that_knows_them_ends() -> None:
    library = Library.objects.create(name="Handbook", language="en")
    document = upload(library, "Prices.txt", "A ticket costs nine euros.")
    library.refresh_from_db()
    persona = PersonaFactory.create(published=True, brain="own", library=library)
    session = StreamingSessionFactory.create(persona=persona, version=persona.current)
    began_with = library.version
    replace(document, "Prices.txt", "A ticket costs ten euros.")
    superseded.forget()
    assert [each.text for each in search(library.pk, began_with, "ticket", language="en")] == [
        "A ticket costs nine euros."
    ]
    StreamingSession.objects.filter(pk=session.pk).update(
        status=Status.ENDED, deadline_at=None, ended_at=session.created_at, end_reason="user_stopped", end_evidence={}
    )
    superseded.forget()
    assert search(library.pk, began_with, "ticket", language="en") == []
    library.refresh_from_db()
    assert search(library.pk, library.version, "ticket", language="en")[0].text == "A ticket costs ten euros."
    assert Chunk.objects.filter(text="A ticket costs nine euros.").exists()
