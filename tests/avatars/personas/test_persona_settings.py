"""Settings stored with a session: typed, and readable in older formats."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import translation

from avatars.models.persona_settings import FORMAT, PersonaSettings
from tests.support.factories import AvatarFactory, PersonaFactory, ProviderAccountFactory

OLDEST = {
    "avatar_id": "lucia", "voice_id": "", "voice_rate": 1.0, "voice_emotion": "", "knowledge_base_id": "",
    "language": "es", "quality": "high", "greeting": "Hola", "duration_limit_s": 600, "idle_timeout_s": 120,
}  # fmt: skip


def test_settings_of_the_first_format_can_be_read() -> None:
    read = PersonaSettings.of(OLDEST)
    assert (read.takes_voice, read.interactivity, read.voice_settings) == (False, "hands_free", {})
    assert (read.duration_limit, read.idle_timeout) == (timedelta(minutes=10), timedelta(minutes=2))


def test_unknown_keys_are_ignored() -> None:
    assert PersonaSettings.of(OLDEST | {"mood": "good"}) == PersonaSettings.of(OLDEST)


@pytest.mark.django_db
def test_stored_settings_have_stable_keys_and_a_format() -> None:
    stored = PersonaFactory.create().snapshot()
    later = {"voice_settings", "takes_voice", "interactivity", "breaks_silence"}
    assert set(stored) == {*OLDEST, *later, "format"}
    assert stored["format"] == FORMAT
    assert PersonaSettings.of(json.loads(json.dumps(stored))).as_stored() == stored


@pytest.mark.django_db
def test_whose_model_answers_is_stored_only_if_it_is_the_organisations() -> None:
    own = PersonaFactory.create(brain="own")
    assert own.snapshot()["brain"] == "own"
    assert own.snapshot()["takes_voice"] is False  # the provider's own model would answer what is spoken
    assert own.snapshot()["reads_aloud"] is False
    assert not PersonaFactory.create(reads_aloud=False).settings().reads_aloud
    assert PersonaSettings.of(own.snapshot()).has_own_brain


@pytest.mark.django_db
def test_users_speak_to_an_own_brain_only_where_the_provider_can_call_it(settings: Any) -> None:
    translation.activate("en")
    heygen = PersonaFactory.create(brain="own")
    account = ProviderAccountFactory.create(kind="liveavatar")
    persona = PersonaFactory.create(brain="own", avatar=AvatarFactory.create(account=account))
    for url, is_usable in (("", False), ("http://portal.example.com", False), ("https://portal.example.com", True)):
        settings.PORTAL_URL = url
        assert PersonaSettings.of(persona.snapshot()).takes_voice is is_usable
        assert ("PORTAL_URL" in persona.spoken_turns_problem) is not is_usable
    assert persona.is_heard_by_own_brain
    assert not heygen.takes_voice
    assert "no way to call" in heygen.spoken_turns_problem
    persona.knowledge_base = None
    assert not persona.takes_voice
    assert "knowledge base" in persona.spoken_turns_problem
    assert PersonaFactory.create(brain="provider").spoken_turns_problem == ""
