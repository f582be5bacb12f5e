from __future__ import annotations

from contextlib import nullcontext
from decimal import Decimal
from io import BytesIO
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from PIL import Image

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.contract.provider import (
    CatalogueAvatar,
    CatalogueKnowledgeBase,
    CatalogueVoice,
    NotSent,
    Provider,
)


def picture(kind: str = "PNG", size: tuple[int, int] = (4, 3), **options: Any) -> bytes:
    drawn = BytesIO()
    Image.new(options.pop("mode", "RGB"), size, "#00808080").save(drawn, kind, **options)
    return drawn.getvalue()


@pytest.fixture(autouse=True)
def no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make key checks and syncs fail.

    Accounts in tests have no provider unless a test asks for one.
    """

    async def away(account: ProviderAccount) -> None:
        raise NotSent("nowhere")

    monkeypatch.setattr("avatars.accounts.forms.check_key", away)
    monkeypatch.setattr("avatars.personas.publishing.refresh_catalogue", away)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """A provider with one entry of each kind."""
    stand_in = Mock(spec=Provider)
    stand_in.list_avatars = AsyncMock(
        return_value=[CatalogueAvatar("A1", "Lucía", "https://cdn.test/a1.png?sig=1", "V1", is_active=True)]
    )
    stand_in.list_voices = AsyncMock(
        return_value=[CatalogueVoice("V1", "Clara", "es", "female", "", has_emotions=True)]
    )
    stand_in.list_knowledge_bases = AsyncMock(
        return_value=[CatalogueKnowledgeBase("K1", "Recepción", "Hola", "Somos…")]
    )
    stand_in.list_languages = AsyncMock(return_value=[])
    stand_in.credits = AsyncMock(return_value=Decimal(100))
    stand_in.download = AsyncMock(return_value=picture())
    stand_in.voice_sample = AsyncMock(return_value=b"RIFF\x24\0\0\0WAVEfmt ")
    monkeypatch.setattr(providers, "opened", lambda account: nullcontext(stand_in))
    return stand_in
