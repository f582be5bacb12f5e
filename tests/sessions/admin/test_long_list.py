"""A long list is counted up to a maximum and estimated beyond it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from heygen_portal.console.lists import EstimatingPaginator
from tests.support.factories import StreamingSessionFactory

LIST = "/admin/avatar_sessions/streamingsession/"
ENGLISH = {"accept-language": "en"}


@pytest.mark.usefixtures("postgres")
def test_a_long_list_shows_an_estimated_count(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.force_login(User.objects.create_superuser("root"), "django.contrib.auth.backends.ModelBackend")
    StreamingSessionFactory.create_batch(12)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE avatar_sessions_streamingsession")
    assert "about" not in client.get(LIST, headers=ENGLISH).content.decode()
    monkeypatch.setattr(EstimatingPaginator, "EXACT", 5)
    assert "about 12 sessions" in client.get(LIST, headers=ENGLISH).content.decode()
    found = client.get(LIST, {"q": "Lucía"}, headers=ENGLISH).context["cl"]
    assert len(found.result_list) == 12
