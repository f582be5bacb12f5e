"""A run's results from the portal's database. Import after Django is set up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from django.utils.crypto import get_random_string

from avatars.models import ProviderAccount
from heygen_portal.people.access import roles
from sessions.lifecycle import events
from sessions.models import SessionEvent, SessionTask, StreamingSession, Utterance

BATCH_ROWS = 2000


def create_signed_in_users(count: int, slots: int) -> list[str]:
    """Create end users and a provider account for them.

    Return a login cookie of each.
    """
    ProviderAccount.objects.update(concurrency_limit=slots, is_exclusive=True)
    group, cookies = Group.objects.get(name=roles.END_USER.group), []
    for person in User.objects.bulk_create(User(username=uuid4().hex) for _ in range(count)):
        person.groups.add(group)
        client = Client()
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        cookies.append(client.cookies["sessionid"].value)
    return cookies


def sign_in(people: Sequence[User]) -> list[str]:
    """Make users end users and return a login cookie of each.

    Thousands of them: the rows are stored together.
    """
    group = Group.objects.get(name=roles.END_USER.group)
    membership = User.groups.through
    membership.objects.bulk_create((membership(user=person, group=group) for person in people), batch_size=BATCH_ROWS)
    store = SessionStore()
    logins = [
        Session(
            session_key=get_random_string(32, VALID_KEY_CHARS),
            session_data=store.encode(
                {
                    SESSION_KEY: str(person.pk),
                    BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
                    HASH_SESSION_KEY: person.get_session_auth_hash(),
                }
            ),
            expire_date=timezone.now() + timedelta(days=1),
        )
        for person in people
    ]
    return [login.session_key for login in Session.objects.bulk_create(logins, batch_size=BATCH_ROWS)]


def count_sessions(
    seen: Sequence[str],
    closed: Mapping[str, float],
    lasted: Mapping[str, float],
    outages: Sequence[tuple[float, float]] = (),
) -> dict[str, Any]:
    """Count open sessions and missing records.

    `seen`: IDs of sessions announced to users; `closed`: times when tabs closed silently; `lasted`: provider seconds;
    `outages`: when database or provider did not answer. After an outage, a closed tab counts from its end.
    """
    rows = {str(row.pk): row for row in StreamingSession.objects.all()}
    ended = {pk: row.ended_at.timestamp() for pk, row in rows.items() if row.ended_at}
    return {
        "started": len(rows),
        "open": sum(row.status != "ended" for row in rows.values()),
        "without_reason": sum(not row.end_reason for row in rows.values()),
        "lost": len(set(seen) - rows.keys()),
        "reasons": Counter(row.end_reason for row in rows.values()),
        "seconds_ratio": _seconds_ratio(list(rows.values()), lasted),
        "chains_broken": sum(not _is_chain_intact(row) for row in rows.values()),
        "closed_s": [ended[pk] - _answering_since(at, ended[pk], outages) for pk, at in closed.items() if pk in ended],
    }


def _answering_since(closed_at: float, ended_at: float, outages: Sequence[tuple[float, float]]) -> float:
    """Return from when database and provider could end a session, if they were away in between."""
    over = [until for since, until in outages if since < ended_at and closed_at < until < ended_at]
    return max([closed_at, *over])


def request_export() -> None:
    """Request an export of all events that is written to a file, however few they are."""
    from sessions import tasks
    from sessions.exports import list_export
    from sessions.models import Export

    list_export.MAX_STREAMED_ROWS = 0
    user = User.objects.order_by("pk")[0]
    export = list_export.request_export(user.pk, None, Export.What.EVENTS, Export.Format.CSV, reason="chaos")
    tasks.write_export.delay(str(export.pk))


def count_exports() -> Counter[str]:
    from sessions.models import Export

    return Counter(Export.objects.values_list("state", flat=True))


def texts_of(session_ids: Sequence[UUID]) -> dict[str, dict[str, Any]]:
    """Return, for each session, how often each text was stored by its reference, and the number of its lines."""
    found: dict[str, dict[str, Any]] = {str(pk): {"refs": Counter(), "lines": 0} for pk in session_ids}
    for pk, ref in SessionTask.objects.filter(session__in=session_ids).exclude(ref="").values_list("session_id", "ref"):
        found[str(pk)]["refs"][ref] += 1
    for pk in Utterance.objects.filter(session__in=session_ids).values_list("session_id", flat=True):
        found[str(pk)]["lines"] += 1
    return found


def use_own_model() -> None:
    """Have Lucía answer from her documents, with the emulator's model."""
    from avatars.models import ModelService, Persona
    from avatars.personas import publishing, starters, versions
    from avatars.starters import libraries

    persona = Persona.objects.get(slug="lucia")
    own = starters.with_own_brain(starters.STARTERS[0], ModelService.objects.get(), libraries.create("lucia"))
    for name, value in own.items():
        setattr(persona, name, value)
    versions.save_version(persona)
    publishing.publish(persona)


def count_answers() -> dict[str, Any]:
    """Count the answers by their end, and the turns that have none.

    A turn is a user's text that counts as sent. It ends with an answer's stored end.
    """
    from sessions.models import Answer

    answers = Counter(Answer.objects.values_list("state", flat=True))
    turns = SessionTask.objects.filter(kind=SessionTask.Kind.TALK, status=SessionTask.Status.SENT)
    ended = Answer.objects.exclude(state=Answer.State.ANSWERING)
    said = Answer.objects.filter(state__in=("answered", "no_answer", "written", "fallback"))
    return {
        "turns": turns.count(),
        "ended": answers,
        "without_end": turns.exclude(pk__in=ended.values("task")).count() + answers[Answer.State.ANSWERING],
        "without_words": said.filter(sentences=[]).count(),
    }


def _seconds_ratio(rows: Sequence[StreamingSession], lasted: Mapping[str, float]) -> float | None:
    """Return provider seconds beyond the portal's, for sessions the emulator knows.

    A restart forgets them.
    """
    known = [row for row in rows if row.provider_session_id in lasted and row.ended_at]
    ours = sum((row.ended_at - row.created_at).total_seconds() for row in known if row.ended_at)
    return round(sum(lasted[str(row.provider_session_id)] for row in known) / ours, 3) if ours else None


def _is_chain_intact(session: StreamingSession) -> bool:
    previous = ""
    for number, event in enumerate(SessionEvent.objects.filter(session=session).order_by("number"), start=1):
        if (event.number, event.previous_hash, event.hash) != (number, previous, events.digest(event)):
            return False
        previous = event.hash
    return bool(previous)
