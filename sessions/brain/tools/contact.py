"""Users who ask for a person, and their messages to staff. Messages are encrypted as all speech, and mailed."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db import transaction
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from avatars.models import BuiltInTool
from heygen_portal.models import EventType, holders_of
from heygen_portal.people.mail import outgoing
from heygen_portal.people.preferences import languages
from heygen_portal.permissions import Permission
from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.text import bidi
from heygen_portal.webhooks import outbox
from sessions import errors, notices
from sessions.brain.tools import tool_events
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import SessionEvent, StaffMessage, Status, StreamingSession

MAX_MESSAGE_CHARACTERS = 2000
MAILS_AT_ONCE = 2
MAX_CONTACT_CHARACTERS = 254
BY_USER, BY_MODEL = "user", "model"
# Threads of their own: a mail server that does not answer holds up no work with the database.
_threads = ThreadPoolExecutor(MAILS_AT_ONCE, thread_name_prefix="staff-mail")


async def ask_for_person(session_id: UUID, by: str) -> bool:
    """Record that the user asks for a person, and mail operators in the background. Once per session.

    Return whether there is someone to mail. Raises NotLive, and NotOffered if the persona does not offer it.
    """
    session, is_new, is_told = await in_thread(_store_request)(session_id, by)
    if is_new:
        page = reverse("admin:avatar_sessions_streamingsession_change", args=[session.pk])
        background.spawn(_mail(session, EventKind.PERSON_ASKED, page))
    return is_told


async def leave_message(session_id: UUID, contact: str, text: str) -> bool:
    """Store a user's message, and mail it in the background. Return whether there is someone to mail it to.

    Raises NotLive, NotOffered, TextEmpty, TextTooLong, and AddressInvalid.
    """
    contact, text = contact.strip(), text.strip()
    if not text:
        raise errors.TextEmpty
    if len(text) > MAX_MESSAGE_CHARACTERS:
        raise errors.TextTooLong
    try:
        validate_email(contact[: MAX_CONTACT_CHARACTERS + 1])
    except ValidationError:
        raise errors.AddressInvalid from None
    session, page, is_mailed = await in_thread(_store_message)(session_id, contact, text)
    background.spawn(_mail(session, EventKind.MESSAGE_LEFT, page, f"{contact}\n\n{text}"))
    return is_mailed


@transaction.atomic
def _store_request(session_id: UUID, by: str) -> tuple[StreamingSession, bool, bool]:
    """Return the session, whether its user has not asked before, and whether there is someone to mail."""
    session = _offering(session_id, BuiltInTool.PERSON)
    is_new = not SessionEvent.objects.filter(session_id=session_id, kind=EventKind.PERSON_ASKED).exists()
    if is_new:
        events.append(session_id, Entry(EventKind.PERSON_ASKED, {"by": by}))
        outbox.write(EventType.PERSON_ASKED, lambda: notices.person_asked(session, by))
    return session, is_new, reaches_operators()


@transaction.atomic
def _store_message(session_id: UUID, contact: str, text: str) -> tuple[StreamingSession, str, bool]:
    """Return the session, the page of the message, and whether there is someone to mail."""
    session = _offering(session_id, BuiltInTool.PERSON, BuiltInTool.MESSAGE)
    content = json.dumps({"contact": contact, "text": text}, ensure_ascii=False)
    sealed = tool_events.seal(session_id, tool_events.MESSAGE, content)
    events.append(session_id, Entry(EventKind.MESSAGE_LEFT, {"characters": len(text), "sealed": sealed}))
    event = SessionEvent.objects.filter(session=session, kind=EventKind.MESSAGE_LEFT).latest("number")
    message = StaffMessage.objects.create(event=event, left_at=event.at)
    outbox.write(EventType.MESSAGE_LEFT, lambda: notices.message_left(session, message.pk))
    page = reverse("admin:avatar_sessions_staffmessage_change", args=[message.pk])
    return session, page, reaches_operators()


def _offering(session_id: UUID, *tools: BuiltInTool) -> StreamingSession:
    """Return the live session, locked, of a persona that offers one of these tools."""
    rows = StreamingSession.objects.select_for_update(of=("self",)).select_related("persona", "version")
    session = rows.get(pk=session_id)
    if session.status != Status.LIVE:
        raise errors.NotLive
    version = session.version
    if version is None or not version.has_own_brain or not version.tool_names & set(tools):
        raise errors.NotOffered
    return session


def reaches_operators() -> bool:
    """Whether there is someone to mail."""
    return bool(_operators())


def _operators() -> list[User]:
    """Return the users to mail; none without a mail server."""
    users = holders_of(Permission.OBSERVE_SESSION) if outgoing.is_set_up() else ()
    return [user for user in users if user.is_active and user.email]


async def _mail(session: StreamingSession, kind: EventKind, page: str, text: str = "") -> None:
    """Mail each operator, and record how many mails were taken. A mail server that hangs holds up nothing else."""
    letters = await in_thread(_letters)(session, kind, page, text)
    sent = await asyncio.get_running_loop().run_in_executor(_threads, outgoing.send_all, letters)
    await in_thread(events.record)(session.pk, Entry(EventKind.STAFF_MAILED, {"count": sent}))


def _letters(session: StreamingSession, kind: EventKind, page: str, text: str) -> list[EmailMessage]:
    """Return a mail to each operator in their language."""
    body = "\n\n".join(filter(None, [text, outgoing.link(page)]))
    found = []
    for user in _operators():
        with translation.override(languages.of(user)):
            about = _("A user asks for a person") if kind == EventKind.PERSON_ASKED else _("Message for the team")
            subject = outgoing.subject(f"{about}: {bidi.isolated(session.persona.name)}")
        found.append(EmailMessage(subject, body, outgoing.sender(), [user.email]))
    return found
