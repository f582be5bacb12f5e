"""Catalogue and image downloads of the HeyGen client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.utils import translation

from avatars.models import Voice
from heygen_portal.providers.contract.provider import (
    CatalogueAvatar,
    CatalogueKnowledgeBase,
    CatalogueVoice,
    ProviderUnreachable,
)
from heygen_portal.providers.heygen.provider import HeyGen
from heygen_portal.providers.http import languages
from heygen_portal.providers.http.languages import language_code

IMAGE = b"\x89PNG\r\n\x1a\n..."


def client_answering(answers: dict[str, Any]) -> HeyGen:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers[request.url.path])

    return HeyGen("https://api.test", "sk-key", transport=httpx.MockTransport(answer))


def client_with(answer: Callable[[httpx.Request], httpx.Response]) -> HeyGen:
    return HeyGen("http://127.0.0.1:8900", "sk-key", transport=httpx.MockTransport(answer))


async def test_the_newest_row_of_an_avatar_counts() -> None:
    rows = [
        {"avatar_id": "A1", "created_at": 200, "pose_name": "New", "status": "ACTIVE", "default_voice": "V1"},
        {"avatar_id": "A1", "created_at": 100, "pose_name": "Old", "status": "ACTIVE"},
        {"avatar_id": "A2", "created_at": None, "status": "INACTIVE", "normal_preview": "https://cdn.test/a2.png"},
        {"pose_name": "without an id"},
    ]
    heygen = client_answering({"/v1/streaming/avatar.list": {"code": 100, "data": rows}})
    assert sorted(await heygen.list_avatars(), key=lambda avatar: avatar.provider_avatar_id) == [
        CatalogueAvatar("A1", "New", "", "V1", is_active=True),
        CatalogueAvatar("A2", "A2", "https://cdn.test/a2.png", "", is_active=False),
    ]


async def test_voices_have_a_language_code() -> None:
    rows = [
        {"voice_id": "V1", "name": " Lucía ", "language": "Spanish", "gender": "Female", "emotion_support": True},
        {"voice_id": "V2", "language": "Multilingual", "preview_audio": "https://cdn.test/v2.mp3"},
    ]
    heygen = client_answering({"/v2/voices": {"error": None, "data": {"voices": rows}}})
    assert await heygen.list_voices() == [
        CatalogueVoice("V1", "Lucía", "es", "female", "", has_emotions=True),
        CatalogueVoice("V2", "V2", "", "", "https://cdn.test/v2.mp3", has_emotions=False),
    ]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Spanish", "es"),
        ("spanish (Mexico)", "es"),
        ("es-ES", "es"),
        ("en_US", "en"),
        ("en", "en"),
        ("Multilingual", ""),
        ("", ""),
        ("Multilingual v2", ""),
        ("Filipino", "fil"),
        ("fil-PH", "fil"),
        ("Mandarin Chinese", "zh"),
        ("Chinese (Cantonese, Traditional)", "zh"),
        ("cmn-CN", "zh"),
        ("Brazilian Portuguese", "pt"),
        ("Mexican Spanish", "es"),
        ("Serbian (Latin)", "sr"),
        ("Norwegian Bokmål", "no"),
        ("Spanish/English", ""),
        ("Klingon", ""),
        ("xx", ""),
        ("v2", ""),
    ],
)
def test_every_spelling_of_a_language_gives_its_code(name: str, code: str) -> None:
    assert language_code(name) == code


@pytest.mark.parametrize(("claimed", "is_live"), [(False, False), (True, True), (None, True)])
async def test_voices_for_recorded_videos_only_are_known_as_such(claimed: bool | None, is_live: bool) -> None:
    row: dict[str, object] = {"voice_id": "V1", "name": "Lucía", "language": "Spanish"}
    if claimed is not None:
        row["support_interactive_avatar"] = claimed
    heygen = client_answering({"/v2/voices": {"error": None, "data": {"voices": [row]}}})
    [voice] = await heygen.list_voices()
    assert voice.is_live is is_live


def test_every_language_of_voices_has_a_name() -> None:
    for code in languages.CODES:
        for language in ("es", "en"):
            with translation.override(language):
                assert Voice(language=code).language_label != code


async def test_knowledge_bases_have_texts_if_the_list_includes_them() -> None:
    rows = [{"id": "K1", "name": "Recepción", "opening": "Hola", "prompt": "Somos…"}, {"id": "K2"}]
    heygen = client_answering({"/v1/streaming/knowledge_base/list": {"code": 100, "data": {"list": rows}}})
    assert await heygen.list_knowledge_bases() == [
        CatalogueKnowledgeBase("K1", "Recepción", "Hola", "Somos…"),
        CatalogueKnowledgeBase("K2", "K2", "", "", has_texts=False),
    ]


async def test_an_image_on_the_providers_host_is_fetched_without_the_key() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=IMAGE)

    assert await client_with(answer).download("http://127.0.0.1:8900/preview.png") == IMAGE
    assert not {"x-api-key", "authorization"} & set(seen[0].headers)


async def test_a_public_image_is_fetched_from_the_checked_address() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["host"] == "8.8.8.8"
        return httpx.Response(200, content=IMAGE)

    assert await client_with(answer).download("https://8.8.8.8/preview.png") == IMAGE


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379/",  # another port on this machine
        "http://localhost:8900/",
        "http://[::1]/",
        "http://10.0.0.7/",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/",
        "http://[::ffff:127.0.0.1]/",
        "file:///etc/passwd",
        "ftp://8.8.8.8/",
        "/preview.png",
        "not an address",
        "http://",
        "",
    ],
)
async def test_an_image_url_cannot_reach_the_private_network(url: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        pytest.fail(f"asked {request.url}")

    with pytest.raises(ProviderUnreachable):
        await client_with(answer).download(url)


async def test_a_redirect_is_checked_like_the_first_address() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.port == 8900
        return httpx.Response(302, headers={"location": "http://127.0.0.1:6379/"})

    with pytest.raises(ProviderUnreachable, match="public"):
        await client_with(answer).download("http://127.0.0.1:8900/preview.png")


async def test_a_redirect_loop_ends() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(302, headers={"location": "/again"})

    with pytest.raises(ProviderUnreachable, match="redirects"):
        await client_with(answer).download("http://127.0.0.1:8900/preview.png")
    assert len(asked) == 4


@pytest.mark.parametrize("response", [httpx.Response(404), httpx.Response(200, content=b"x" * (5 * 1024 * 1024 + 1))])
async def test_a_missing_or_too_large_image_is_refused(response: httpx.Response) -> None:
    with pytest.raises(ProviderUnreachable):
        await client_with(lambda request: response).download("http://127.0.0.1:8900/preview.png")
