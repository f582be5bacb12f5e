"""The custom element that sites load."""

from __future__ import annotations

import gzip
import json
import re

from django.conf import settings
from django.test import Client

MAX_ELEMENT_BYTES = 10_000


def test_the_element_is_small_and_depends_on_nothing(client: Client) -> None:
    answer = client.get("/embed.js", headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    source = gzip.decompress(answer.content)
    print(f"embed.js: {len(source)} bytes, {len(answer.content)} compressed")  # noqa: T201  (asked for by the requirements)
    assert len(answer.content) <= MAX_ELEMENT_BYTES
    assert b"import" not in source


def test_the_element_has_its_texts_in_every_language(client: Client) -> None:
    source = client.get("/embed.js", headers={"Accept-Language": "de"}).content.decode()
    found = re.search(r"const TEXTS = (\{.*\});", source)
    assert found
    texts = json.loads(found[1])
    assert set(texts) == set(dict(settings.LANGUAGES))
    assert [texts[code]["open"] for code in ("en", "es", "fr")] == [
        "Open the conversation",
        "Abrir la conversación",
        "Ouvrir la conversation",
    ]
    for key in texts["en"]:
        assert len({each[key] for each in texts.values()}) > 3, key  # none left in English


def test_a_site_that_has_the_element_is_not_sent_it_again(client: Client) -> None:
    answer = client.get("/embed.js")
    assert "max-age=600" in answer["Cache-Control"]
    again = client.get("/embed.js", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
