"""All that is stored about one person, for themselves or for staff on their behalf: as JSON; `personal_data_html` has
the page to read.

Everything is read by key, a page at a time: the person with the longest history needs no more memory than any other.
Secrets are left out, and so is what identifies the staff who dealt with the person's sessions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from cryptography.exceptions import InvalidTag
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.db.models import BinaryField, Model, Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from avatars.models import CatalogueSync, KnowledgeVersion, PersonaVersion, Video
from heygen_portal.models import Invitation, Membership
from heygen_portal.people.access import logins
from heygen_portal.people.mail import languages
from heygen_portal.people.sign_in import personal_logs
from heygen_portal.trail import audit_log
from sessions.capacity import quotas
from sessions.exports.formats import json_value, to_json
from sessions.lifecycle import coverage, vouching
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import (
    Allowance,
    Conversation,
    Erasure,
    Export,
    LegalHold,
    ProviderErasure,
    QueuePlace,
    SessionEvent,
    SessionTask,
    SessionTotal,
    StreamingSession,
    Utterance,
)

logger = logging.getLogger(__name__)

SCHEMA = "urn:heygen-portal:personal-data:1"
ROWS_PER_PAGE = 500
BYTES_PER_PIECE = 64 * 1024
"""Each piece costs a change of threads on its way out."""
YOU, STAFF = "you", "staff"
NEVER_SHOWN = frozenset({"password", "sealed", "hash", "previous_hash", "session_hash", "last_key", "post_data"})
"""Columns: secrets, and what only proves the record."""

PROOF = frozenset({coverage.ROWS})
"""What an event says of other tables' rows, so that they can be compared with the record."""

UNREADABLE = (DatabaseError, InvalidTag, ArithmeticError, AttributeError, TypeError, ValueError, RecursionError)
"""What reading a row raises that was changed behind the portal's back, or whose key is not there."""

UNREADABLE_REST, UNREADABLE_TEXT = "rest_could_not_be_read", "could_not_be_opened"

Row = Mapping[str, Any]
Some = TypeVar("Some")


class Told(dict[str, Any]):
    """What is told of one row; it knows the row's model, for its columns' names and choices."""

    def __init__(self, values: Mapping[str, Any], model: type[Model] | None = None) -> None:
        super().__init__(values)
        self.model = model

    def __or__(self, other: Any) -> Any:
        return Told({**self, **other}, self.model)

    def __ror__(self, other: Any) -> Any:
        return Told({**other, **self}, self.model)


@dataclass(frozen=True)
class Section:
    """One kind of data: its key in the JSON, its heading on the page, and its rows for a person."""

    name: str
    title: str | Promise
    rows: Callable[[User], Iterator[Row]]


def as_json(user: User) -> Iterator[bytes]:
    """Return the document piece by piece."""
    return in_larger_pieces(_json(user))


def _json(user: User) -> Iterator[bytes]:
    about = {"schema": SCHEMA, "made_at": json_value(timezone.now()), "person": user.get_username()}
    yield to_json(about)[:-1].encode()
    for section in SECTIONS:
        yield f",{to_json(section.name)}:".encode()
        yield from _json_list(section.rows(user))
    yield b"}\n"


def in_larger_pieces(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Gather pieces up to BYTES_PER_PIECE."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= BYTES_PER_PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def file_name(user: User, extension: str) -> str:
    """Return what the file is called on the reader's disk."""
    return f"personal-data-{user.pk}-{timezone.now():%Y-%m-%d}.{extension}"


def as_far_as_readable(rows: Iterator[Some]) -> Iterator[Some | Row]:
    """Yield rows; where the database holds what cannot be read, a row that says so, in place of the rest of the list.

    All other lists follow: half an answer that looks whole would be worse.
    """
    try:
        yield from rows
    except UNREADABLE as exc:
        logger.warning("personal data: the rest of a list could not be read: %s", type(exc).__name__)
        yield Told({UNREADABLE_REST: True})


# JSON


def _json_list(rows: Iterator[Row]) -> Iterator[bytes]:
    """Write rows one by one; a value that is an iterator is written in the same way."""
    before = "["
    for row in as_far_as_readable(rows):
        flat = {name: value for name, value in row.items() if not isinstance(value, Iterator)}
        yield before.encode() + to_json(flat)[:-1].encode()
        for name, value in row.items():
            if isinstance(value, Iterator):
                yield f"{',' if flat else ''}{to_json(name)}:".encode()
                yield from _json_list(value)
        yield b"}"
        before = ","
    yield b"]" if before == "," else b"[]"


# Where it is stored


def _account(user: User) -> Iterator[Row]:
    membership = Membership.objects.select_related("organisation").filter(user=user).first()
    organisation = membership.organisation.name if membership else None
    yield (
        _fields(user, user) | audit_log.access_of(user) | {"language": languages.of(user), "organisation": organisation}
    )


def _of(
    model: type[Model], *names: str, leave_out: frozenset[str] = frozenset(), related: tuple[str, ...] = ()
) -> Callable[[User], Iterator[Row]]:
    """Return a reader of the rows that name the person in one of these columns."""

    def rows(user: User) -> Iterator[Row]:
        theirs = Q()
        for name in names:
            theirs |= Q(**{name: user.pk})
        found: Any = model._default_manager.filter(theirs)
        for row in by_key(found.select_related(*related) if related else found):
            yield _fields(row, user, leave_out)

    return rows


def by_key(rows: QuerySet[Any]) -> Iterator[Any]:
    """Read rows in the order of their keys, with no cursor held open from one page to the next."""
    rows = rows.order_by("pk")
    page: list[Any] = []
    while page := list((rows.filter(pk__gt=page[-1].pk) if page else rows)[:ROWS_PER_PAGE]):
        yield from page
        if len(page) < ROWS_PER_PAGE:
            return


def _newest_last(sessions: QuerySet[StreamingSession]) -> Iterator[StreamingSession]:
    """Read sessions in the order in which they began, in pages as `by_key` does."""
    rows = sessions.order_by("created_at", "pk")
    page: list[StreamingSession] = []
    while page := list((rows.filter(_after(page[-1])) if page else rows)[:ROWS_PER_PAGE]):
        yield from page
        if len(page) < ROWS_PER_PAGE:
            return


def _after(session: StreamingSession) -> Q:
    at = session.created_at
    return Q(created_at__gt=at) | Q(created_at=at, pk__gt=session.pk)


def _sign_ins(user: User) -> Iterator[Row]:
    for rows in personal_logs.sign_ins_of(user):
        for row in by_key(rows):
            stored = row.failed or row.succeeded
            yield {"log": stored._meta.model_name} | _fields(stored, user)


def _login_sessions(user: User) -> Iterator[Row]:
    for session in logins.sessions_of(user.pk):
        yield {"expires_at": json_value(session.expire_date)}


def _invitations(user: User) -> Iterator[Row]:
    theirs = Q(used_by=user) | Q(invited_by=user)
    if personal_logs.belongs_only_to(user.email, user):
        theirs |= Q(email__iexact=user.email)
    for row in by_key(Invitation.objects.filter(theirs).select_related("group")):
        yield _fields(row, user)


def _use(user: User) -> Iterator[Row]:
    now = timezone.now()
    given = quotas.monthly_quota(user.pk)
    yield {"used_this_month_s": json_value(quotas.used_by(user.pk, now)), "quota_s": json_value(given)}
    yield from _of(Allowance, "user")(user)


def _audit_entries(user: User) -> Iterator[Row]:
    """What the person did with power over the portal, and what staff did to their access."""
    for row in by_key(personal_logs.audit_entries_of(user)):
        told = _fields(row, user)
        yield told if row.by_id == user.pk else told | {"address": None}


def _admin_log_about(user: User) -> Iterator[Row]:
    for row in by_key(personal_logs.admin_log_about(user)):
        yield _fields(row, user)


def _sessions(user: User) -> Iterator[Row]:
    rows = StreamingSession.objects.filter(user=user).select_related("persona", "account")
    for session in _newest_last(rows):
        told = _fields(session, user) | {"end_evidence": without_staff(session.end_evidence, user.pk)}
        yield told | {
            "lines": (_line(line, user) for line in _marked(by_key(Utterance.objects.filter(session=session)))),
            "tasks": (_spoken(task, user) for task in by_key(SessionTask.objects.filter(session=session))),
            "events": (_event(event, user) for event in by_key(SessionEvent.objects.filter(session=session))),
            "legal_holds": (
                _fields(hold, user, frozenset({"reason"})) for hold in by_key(LegalHold.objects.filter(session=session))
            ),
            "erasures": (_fields(row, user) for row in by_key(Erasure.objects.filter(session=session))),
            "erasures_at_provider": (
                _fields(row, user) for row in by_key(ProviderErasure.objects.filter(erasure__session=session))
            ),
            "costs": (_fields(row, user) for row in by_key(SessionTotal.objects.filter(session=session))),
            "exports": (
                _fields(row, user, frozenset({"asked_from", "filters"}))
                for row in by_key(Export.objects.filter(session=session))
            ),
        }


def _marked(lines: Iterator[Utterance]) -> Iterator[Utterance]:
    """Say of each line who vouches for it, a page at a time."""
    while page := list(islice(lines, ROWS_PER_PAGE)):
        yield from vouching.set_standing(page)


def _line(line: Utterance, user: User) -> Row:
    told = _spoken(line, user)
    return Told({**told, "standing": line.standing}, told.model)


def _spoken(row: Utterance | SessionTask, user: User) -> Told:
    told = _fields(row, user)
    try:
        text = {"text": row.text}
    except (InvalidTag, TypeError, ValueError):
        text = {"text": None, UNREADABLE_TEXT: True}
    return Told({**told, **text}, told.model)


def _event(event: SessionEvent, user: User) -> Row:
    left_out = PROOF | ({"reason"} if event.kind == EventKind.HELD else frozenset())
    told = {name: value for name, value in event.data.items() if name not in left_out}
    shown: Told = _fields(event, user, frozenset({"session"})) | {"data": without_staff(told, user.pk)}
    return shown


def without_staff(told: Mapping[str, Any], user_id: int) -> dict[str, Any]:
    """Return what an event or an end's evidence says, without who of the staff it was and from where."""
    who = {name: told[name] for name in ("by", "user") if told.get(name) not in (None, user_id)}
    if not who:
        return dict(told)
    return {name: STAFF if name in who else value for name, value in told.items() if name != "from"}


def _fields(row: Any, user: User, leave_out: frozenset[str] = frozenset()) -> Told:
    """Return a row's columns, new ones included: people as "you" or "staff", the rest as it is stored."""
    told: dict[str, Any] = {}
    hidden = NEVER_SHOWN | leave_out
    for field in row._meta.concrete_fields:
        if field.name in hidden or isinstance(field, BinaryField):
            continue
        value = getattr(row, field.attname)
        if field.is_relation and field.related_model is User:
            value = value and (YOU if value == user.pk else STAFF)
        elif field.is_relation and field.is_cached(row):
            value = value and str(getattr(row, field.name))
        told[field.name] = _storable(value)
    return Told(told, row._meta.model)


def _storable(value: Any) -> Any:
    """Return what JSON can hold; a number that it cannot is told as text."""
    told = json_value(value) if not hasattr(value, "isoformat") or isinstance(value, datetime) else value.isoformat()
    return told if isinstance(told, str | int | float | bool | list | dict | None) else str(told)


SECTIONS: tuple[Section, ...] = (
    Section("account", _("Account"), _account),
    Section("email_addresses", _("E-mail addresses"), _of(EmailAddress, "user")),
    Section("single_sign_on", _("Single sign-on"), _of(SocialAccount, "user")),
    Section("second_factors", _("Second factors"), _of(Authenticator, "user", leave_out=frozenset({"data"}))),
    Section("sign_ins", _("Sign-ins"), _sign_ins),
    Section("login_sessions", _("Active logins"), _login_sessions),
    Section("invitations", _("Invitations"), _invitations),
    Section("use", _("Usage and limits"), _use),
    Section("queue", _("Queue"), _of(QueuePlace, "user", leave_out=frozenset({"channel", "process"}))),
    Section("conversations", _("Conversations"), _of(Conversation, "user", related=("persona",))),
    Section("sessions", _("Sessions"), _sessions),
    Section("audit_entries", _("Audit log"), _audit_entries),
    Section("admin_log_about_you", _("Changes to your account by administrators"), _admin_log_about),
    Section("exports", _("Exports that you made"), _of(Export, "asked_by")),
    Section("legal_holds", _("Legal holds that you set or released"), _of(LegalHold, "by", "released_by")),
    Section("erasures", _("Erasures that you asked for"), _of(Erasure, "by")),
    Section("persona_versions", _("Personas that you saved"), _of(PersonaVersion, "saved_by")),
    Section("knowledge_versions", _("Knowledge that you saved"), _of(KnowledgeVersion, "saved_by")),
    Section("videos", _("Videos that you ordered"), _of(Video, "created_by")),
    Section("catalogue_syncs", _("Catalogue syncs that you started"), _of(CatalogueSync, "asked_by")),
    Section("admin_log", _("Changes that you made in the administration"), _of(LogEntry, "user")),
)
