"""Avatars, voices and contexts of the LiveAvatar account.

Avatars and contexts are copies of the HeyGen account's, as after a first login; voices have their own IDs.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid4, uuid5

from heygen_portal.emulator.heygen import catalogue as heygen
from heygen_portal.emulator.heygen.catalogue import CatalogueVoice
from heygen_portal.emulator.sessions.options import CatalogueAvatar

SANDBOX_AVATAR: Final = "dd73ea75-1218-4ef3-92ce-606d5f7fbc0a"
_VARIABLE: Final = re.compile(r"\$\{(\w{1,64})\}")


def uuid_of(name: str) -> str:
    """Return a UUID that is the same in every process, so that clients can store it."""
    return str(uuid5(NAMESPACE_URL, f"liveavatar/{name}"))


@dataclass(frozen=True)
class Avatar(CatalogueAvatar):
    """Avatars with `is_image` are photographs and have no default voice."""

    is_public: bool = True
    is_image: bool = False


@dataclass
class Context:
    """A prompt that answers are taken from, and a greeting."""

    name: str
    prompt: str
    opening_text: str
    links: list[dict[str, Any]] = field(default_factory=list)
    id: str = field(default_factory=lambda: str(uuid4()))
    created_at: float = 0.0
    updated_at: float = 0.0

    @property
    def variables(self) -> list[str]:
        """Names of the `${placeholders}` that a session must fill."""
        return list(dict.fromkeys(_VARIABLE.findall(f"{self.opening_text} {self.prompt}")))


def fill_placeholders(text: str, variables: dict[str, str]) -> str:
    """Replace placeholders by their values. Those without a value stay."""
    return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text)


def _voices() -> list[CatalogueVoice]:
    return [replace(voice, voice_id=uuid_of(voice.voice_id)) for voice in heygen.VOICES]


def _avatars() -> list[Avatar]:
    """Return HeyGen's streaming avatars, the sandbox's, a photo and one in training."""
    copies = [
        Avatar(
            uuid_of(avatar.avatar_id), avatar.name, avatar.look, avatar.gender, uuid_of(avatar.default_voice),
            avatar.created_at,
        )
        for avatar in heygen.AVATARS
        if avatar.streams and not avatar.deprecated and avatar.status == "ACTIVE"
    ]  # fmt: skip
    hugo = next(voice for voice in heygen.VOICES if voice.name == "Hugo")
    sound, since = uuid_of(hugo.voice_id), copies[0].created_at
    return [
        *copies,
        Avatar(SANDBOX_AVATAR, "Wayne", "hugo", "male", sound, since),
        Avatar(uuid_of("photo"), "Amara, portrait", "amara", "female", "", since, is_public=False, is_image=True),
        Avatar(uuid_of("made"), "Hugo", "hugo", "male", sound, since, status="DEPLOYING", is_public=False),
    ]


class LiveAvatarCatalogue:
    LIMIT: Final = 1000  # contexts; beyond it the oldest client-made one is deleted

    def __init__(self) -> None:
        self.avatars = {avatar.avatar_id: avatar for avatar in _avatars()}
        self.voices = {voice.voice_id: voice for voice in _voices()}
        copies = (
            Context(base.name, base.prompt, base.opening, id=uuid_of(base.id))
            for base in heygen.Catalogue().knowledge.values()
        )
        self.contexts = {context.id: context for context in copies}
        self._kept = frozenset(self.contexts)

    def add_context(self, context: Context) -> None:
        if len(self.contexts) >= self.LIMIT:
            made = (key for key in self.contexts if key not in self._kept)
            del self.contexts[next(made)]
        self.contexts[context.id] = context
