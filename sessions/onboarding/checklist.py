"""Setup checklist derived from stored events.

The steps of a session are read from the most recent sessions, so that a step that no longer works becomes open again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from avatars.models import Avatar, Persona, PersonaVersion, ProviderAccount
from heygen_portal import livekit, providers
from heygen_portal.runtime import stored_json
from heygen_portal.trail import hash_chain
from heygen_portal.trail.models import AuditEntry
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Source
from sessions.models import (
    EndReason,
    SessionEvent,
    SessionTask,
    SessionTotal,
    Status,
    StreamingSession,
    Utterance,
)
from sessions.timeline import sent_values
from sessions.timeline.sent_values import SentValue

RECENT_SESSIONS = 50
# Cache key set by each webhook of our own LiveKit server. The sessions' records contain webhooks as well.
WEBHOOK_SEEN = "livekit-webhook-seen"
# Events of sessions in which something went wrong.
TROUBLE = (EventKind.ROOM_RECONNECTING, EventKind.FROZEN, EventKind.VERDICT)
QUALITIES = {"high": _("high quality"), "medium": _("medium quality"), "low": _("low quality")}
# Different voice settings and languages that must have been tried.
MIN_VARIANTS_TRIED = 2


@dataclass(frozen=True)
class Item:
    """One step of the checklist. `is_done` is None if the step is not needed here.

    `missing` says what an open step still lacks, and `sent_values` what the provider was last sent.
    """

    code: str
    is_done: bool | None
    missing: tuple[str, ...] = ()
    sent_values: tuple[SentValue, ...] = ()


class Facts:
    """Facts about the portal, each read at most once."""

    @cached_property
    def sessions(self) -> list[StreamingSession]:
        return list(StreamingSession.objects.select_related("account").order_by("-created_at")[:RECENT_SESSIONS])

    @cached_property
    def kinds(self) -> Mapping[UUID, set[tuple[str, str]]]:
        """Return source and kind of all events of each of those sessions."""
        found: dict[UUID, set[tuple[str, str]]] = defaultdict(set)
        rows = SessionEvent.objects.filter(session__in=[session.pk for session in self.sessions])
        for session_id, source, kind in rows.order_by().values_list("session", "source", "kind").distinct():
            found[session_id].add((source, kind))
        return found

    @cached_property
    def tasks(self) -> Mapping[UUID, list[SessionTask]]:
        found: dict[UUID, list[SessionTask]] = defaultdict(list)
        rows = SessionTask.objects.filter(session__in=[session.pk for session in self.sessions])
        for task in rows.defer("sealed"):
            found[task.session_id].append(task)
        return found

    @cached_property
    def lines(self) -> Mapping[UUID, list[Utterance]]:
        found: dict[UUID, list[Utterance]] = defaultdict(list)
        rows = Utterance.objects.filter(session__in=[session.pk for session in self.sessions])
        for line in rows.defer("sealed").order_by("at", "pk"):
            found[line.session_id].append(line)
        return found

    def has(self, kind: str) -> bool:
        return any(self.has_in(session, kind) for session in self.sessions)

    def has_in(self, session: StreamingSession, *kinds: str) -> bool:
        """Return whether the session's record has an event of one of these kinds."""
        return any(known in kinds for _, known in self.kinds[session.pk])

    def is_key_accepted(self) -> bool:
        accepted = AuditEntry.objects.filter(kind=AuditEntry.Kind.KEY_SET, data__accepted__1=True)
        return ProviderAccount.objects.exclude(synced_at=None).exists() or accepted.exists()

    def is_synced(self) -> bool:
        return Avatar.objects.filter(gone_at=None, account__synced_at__isnull=False).exists()

    @cached_property
    def sent_values(self) -> list[list[SentValue]]:
        """Return the compared settings of each created session, newest first."""
        rows = SessionEvent.objects.filter(session__in=[one.pk for one in self.sessions])
        rows = rows.filter(kind=EventKind.PROVIDER_CREATED, data__has_key="sent")
        stored = rows.order_by("number").values_list("session", "data")
        sent = {session_id: stored_json.nested(data, "sent") for session_id, data in stored}
        version = Q(pk__in=[session.version_id for session in self.sessions if session.pk in sent])
        versions = PersonaVersion.objects.filter(version).select_related("avatar", "voice").in_bulk()
        return [
            _compare(session, versions.get(session.version_id or 0), sent[session.pk])
            for session in self.sessions
            if session.pk in sent
        ]

    def is_created_as_chosen(self) -> bool:
        """Return whether the provider was sent the settings that staff chose."""
        return any(all(value.is_same for value in values) for values in self.sent_values if values)

    def is_text_sent_and_video_shown(self) -> bool:
        """Return whether a text was sent in a session whose first frame was shown."""
        return any(
            self.has_in(session, EventKind.FIRST_FRAME)
            and any(task.status == SessionTask.Status.SENT for task in self.tasks[session.pk])
            for session in self.sessions
        )

    def is_answered(self) -> bool:
        """Return whether the avatar answered a user in a session."""
        return any(
            has_answer(self.lines[session.pk], self.tasks[session.pk], may_greet=_may_greet(session))
            for session in self.sessions
        )

    def is_stop_confirmed(self) -> bool:
        """Return whether a session that was live has ended.

        A session only ends once the provider has confirmed it.
        """
        return any(session.status == Status.ENDED and session.live_at for session in self.sessions)

    def is_trouble_handled(self) -> bool:
        """Return whether tracks are recorded and all troubled sessions ended.

        Each such session ended with a reason.
        """
        in_trouble = [
            session
            for session in self.sessions
            if self.has_in(session, *TROUBLE) or session.end_reason in EndReason.technical_failures()
        ]
        is_each_over = all(session.status == Status.ENDED for session in in_trouble)
        return self.has(EventKind.TRACK_SUBSCRIBED) and bool(in_trouble) and is_each_over

    def is_in_own_room(self) -> bool:
        """Return whether a user joined a room of our own with the provider's avatar."""
        return any(
            session.room and session.provider_session_id and self.has_in(session, EventKind.ROOM_CONNECTED)
            for session in self.sessions
        )

    def untried(self) -> tuple[str, ...]:
        """Return what no live session has used: qualities, a second voice, a language."""
        live = StreamingSession.objects.filter(version=OuterRef("pk"), live_at__isnull=False)
        tried = list(PersonaVersion.objects.filter(Exists(live)).select_related("avatar__account"))
        tried_qualities = {version.quality for version in tried}
        tried_qualities |= {
            stored_json.text(session.persona_settings, "quality") for session in self.sessions if session.live_at
        }
        known = [account.known_capabilities for account in ProviderAccount.objects.all()]
        offered = {quality for capabilities in known if capabilities for quality in capabilities.qualities}
        missing = [str(name) for quality, name in QUALITIES.items() if quality in offered - tried_qualities]
        if len({_voice_of(version) for version in tried}) < MIN_VARIANTS_TRIED:
            missing.append(gettext("a second voice or voice setting"))
        if len({version.language for version in tried}) < MIN_VARIANTS_TRIED:
            missing.append(gettext("a second language"))
        return tuple(missing)

    def unmeasured(self) -> tuple[str, ...]:
        """Return the measurements that no recent session has."""
        answered = SessionTotal.objects.filter(session__in=[session.pk for session in self.sessions])
        measured = {
            gettext("time to the first frame"): self.has(EventKind.FIRST_FRAME),
            gettext("response time"): answered.exclude(answers_ms=[]).exists(),
            gettext("frame rate"): self.has(EventKind.PICTURE),
            gettext("rating"): self.has(EventKind.RATED),
        }
        return tuple(name for name, is_measured in measured.items() if not is_measured)

    def is_webhook_seen(self) -> bool:
        is_recorded = any(source == Source.LIVEKIT for known in self.kinds.values() for source, _ in known)
        return is_recorded or cache.get(WEBHOOK_SEEN) is not None


def items(livekit_trouble: str | None) -> list[Item]:
    """Return the eleven steps of a first integration, then this portal's own.

    `livekit_trouble` is the result of `livekit.diagnose`, or None if it was not called.
    """
    facts, has_own = Facts(), livekit.is_set_up()
    untried, unmeasured = facts.untried(), facts.unmeasured()
    return [
        Item("key", facts.is_key_accepted()),
        Item("token", facts.has(EventKind.PROVIDER_AUTHENTICATED)),
        Item("made", facts.is_created_as_chosen(), sent_values=tuple(next(iter(facts.sent_values), ()))),
        Item("started", facts.has(EventKind.PROVIDER_STARTED)),
        Item("joined", facts.has(EventKind.ROOM_CONNECTED)),
        Item("frame", facts.is_text_sent_and_video_shown()),
        Item("stopped", facts.is_stop_confirmed()),
        Item("errors", facts.is_trouble_handled()),
        Item("own_rooms", facts.is_in_own_room() if has_own else None),
        Item("variety", not untried, untried),
        Item("measured", not unmeasured, unmeasured),
        Item("catalogue", facts.is_synced()),
        Item("persona", Persona.objects.published().exists()),
        Item("answer", facts.is_answered()),
        Item("livekit", livekit_trouble == "" if has_own else None),
        Item("webhook", facts.is_webhook_seen() if has_own else None),
    ]


def has_answer(lines: Sequence[Utterance], tasks: Sequence[SessionTask], *, may_greet: bool) -> bool:
    """Return whether the avatar answered an input of the user.

    `lines` are in order of time. A greeting and a text that was read aloud are no answers, and a text that was not
    sent is no input. With `may_greet`, the provider may have said a greeting that belongs to no task.
    """
    sent = [task for task in tasks if task.status == SessionTask.Status.SENT]
    asked = [task for task in sent if task.kind == SessionTask.Kind.TALK]
    asked_ids = {task.provider_task_id for task in asked if task.provider_task_id}
    spoken = [line for line in lines if line.who == Utterance.Who.AVATAR]
    if any(line.provider_task_id in asked_ids for line in spoken):
        return True
    read_aloud_ids = {task.provider_task_id for task in sent if task.kind == SessionTask.Kind.REPEAT}
    is_greeting_known = any(line.provider_task_id and line.provider_task_id in read_aloud_ids for line in spoken)
    unnamed = [line for line in spoken if not line.provider_task_id or line.provider_task_id not in read_aloud_ids]
    if may_greet and not is_greeting_known:
        unnamed = unnamed[1:]
    inputs = [task.created_at for task in asked]
    inputs += [line.at for line in lines if line.who == Utterance.Who.USER and line.by == Utterance.By.VOICE]
    return bool(inputs) and any(line.at > min(inputs) for line in unnamed)


def record_webhook() -> None:
    """Record that our own LiveKit server has sent a webhook."""
    cache.set(WEBHOOK_SEEN, 1, timeout=None)


def _may_greet(session: StreamingSession) -> bool:
    capabilities = session.account.known_capabilities
    is_spoken = capabilities is not None and capabilities.speaks_opening
    return is_spoken or bool(stored_json.text(session.persona_settings, "greeting"))


def _voice_of(version: PersonaVersion) -> tuple[Any, ...]:
    return (version.voice_id, version.voice_rate, version.voice_emotion, hash_chain.canonical(version.voice_settings))


def _compare(session: StreamingSession, version: PersonaVersion | None, sent: Mapping[str, Any]) -> list[SentValue]:
    """Compare what was sent with the persona's version.

    The user may have chosen another quality.
    """
    chosen = dict(session.persona_settings)
    if version:
        chosen["avatar_id"] = version.avatar.provider_avatar_id
        chosen["voice_id"] = version.voice.provider_voice_id if version.voice else ""
    values = sent_values.compare(chosen, sent, providers.sent_as(session.account.kind))
    # A continued conversation may be sent the text of its knowledge base instead, together with its history.
    return [value for value in values if not (session.continues_id and value.name == "knowledge_base_id")]
