"""Setup checklist derived from stored events.

The steps of a session are read from the most recent sessions, so that a step that no longer works becomes open again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.cache import cache

from avatars.models import Avatar, Persona, PersonaVersion, ProviderAccount
from heygen_portal import livekit
from heygen_portal.trail.models import AuditEntry
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Source
from sessions.models import SessionEvent, Status, StreamingSession, Utterance

RECENT_SESSIONS = 50
# Cache key set by each webhook of our own LiveKit server. The sessions' records contain webhooks as well.
WEBHOOK_SEEN = "livekit-webhook-seen"
COMPARED_SETTINGS = ("avatar_id", "voice_id", "quality")


@dataclass(frozen=True)
class Item:
    """One step of the checklist. `is_done` is None if the step is not needed here."""

    code: str
    is_done: bool | None


class Facts:
    """Facts about the portal, each read at most once."""

    @cached_property
    def sessions(self) -> list[StreamingSession]:
        return list(StreamingSession.objects.order_by("-created_at")[:RECENT_SESSIONS])

    @cached_property
    def kinds(self) -> set[tuple[str, str]]:
        """Return source and kind of all events of those sessions."""
        rows = SessionEvent.objects.filter(session__in=[session.pk for session in self.sessions])
        return set(rows.order_by().values_list("source", "kind").distinct())

    def has(self, kind: str) -> bool:
        return any(known == kind for _, known in self.kinds)

    def is_key_accepted(self) -> bool:
        accepted = AuditEntry.objects.filter(kind=AuditEntry.Kind.KEY_SET, data__accepted__1=True)
        return ProviderAccount.objects.exclude(synced_at=None).exists() or accepted.exists()

    def is_synced(self) -> bool:
        return Avatar.objects.filter(gone_at=None, account__synced_at__isnull=False).exists()

    def is_created_as_chosen(self) -> bool:
        """Return whether the provider created a session as staff had chosen.

        Avatar, voice and quality are compared.
        """
        made = [session for session in self.sessions if session.provider_session_id]
        return self.has(EventKind.PROVIDER_CREATED) and any(_is_as_chosen(session) for session in made)

    def is_answered(self) -> bool:
        """Return whether both the user and the avatar spoke in a session."""
        lines = Utterance.objects.filter(session__in=[session.pk for session in self.sessions])
        said = dict.fromkeys(lines.order_by().values_list("session", "who").distinct())
        return any((session, Utterance.Who.AVATAR) in said for session, who in said if who == Utterance.Who.USER)

    def is_stop_confirmed(self) -> bool:
        """Return whether a session that was live has ended.

        A session only ends once the provider has confirmed it.
        """
        return any(session.status == Status.ENDED and session.live_at for session in self.sessions)

    def is_webhook_seen(self) -> bool:
        return any(source == Source.LIVEKIT for source, _ in self.kinds) or cache.get(WEBHOOK_SEEN) is not None


SESSION_STEPS: dict[str, Callable[[Facts], bool]] = {
    "key": Facts.is_key_accepted,
    "catalogue": Facts.is_synced,
    "persona": lambda facts: Persona.objects.published().exists(),
    "made": Facts.is_created_as_chosen,
    "started": lambda facts: facts.has(EventKind.PROVIDER_STARTED),
    "joined": lambda facts: facts.has(EventKind.ROOM_CONNECTED),
    "frame": lambda facts: any(session.live_at for session in facts.sessions),
    "answer": Facts.is_answered,
    "stopped": Facts.is_stop_confirmed,
}


def items(livekit_trouble: str | None) -> list[Item]:
    """Return the eleven items.

    `livekit_trouble` is the result of `livekit.diagnose`, or None if it was not called.
    """
    facts, has_own = Facts(), livekit.is_set_up()
    session_items = [Item(code, is_done(facts)) for code, is_done in SESSION_STEPS.items()]
    reachable = Item("livekit", livekit_trouble == "" if has_own else None)
    return [*session_items, reachable, Item("webhook", facts.is_webhook_seen() if has_own else None)]


def record_webhook() -> None:
    """Record that our own LiveKit server has sent a webhook."""
    cache.set(WEBHOOK_SEEN, 1, timeout=None)


def _is_as_chosen(session: StreamingSession) -> bool:
    """Return whether a session was created with its persona version's settings."""
    version = PersonaVersion.objects.filter(persona=session.persona_id, number=session.persona_version)
    found = version.select_related("avatar", "voice").first()
    if found is None:
        return False
    chosen: dict[str, Any] = {
        "avatar_id": found.avatar.provider_avatar_id,
        "voice_id": found.voice.provider_voice_id if found.voice else "",
        "quality": found.quality,
    }
    return all(session.persona_settings[name] == chosen[name] for name in COMPARED_SETTINGS)
