"""All data stored about one person, as JSON.

`html_page` renders the same data to read.

Rows are read by key, a page at a time, so that memory does not grow with a person's history. Secrets are left out, and
so are the names and addresses of staff who dealt with the person's sessions.
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

from avatars.models import (
    CatalogueSync,
    Document,
    DocumentVersion,
    HttpToolVersion,
    KnowledgeVersion,
    PersonaTestRun,
    PersonaVersion,
    Video,
    WrittenAnswer,
)
from heygen_portal.branding.current import current
from heygen_portal.models import ApiKey, IdempotentRequest, Invitation, Membership
from heygen_portal.people.access import logins
from heygen_portal.people.preferences import languages, time_zones
from heygen_portal.people.sign_in import personal_logs
from heygen_portal.trail import audit_log, statements
from sessions.brain.tools import tool_events
from sessions.capacity import quotas
from sessions.exports.formats import json_value, to_json
from sessions.lifecycle import line_standing
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import (
    Answer,
    Consent,
    Conversation,
    Erasure,
    Export,
    LegalHold,
    ProviderErasure,
    QueueEntry,
    Quota,
    SessionEvent,
    SessionTask,
    SessionTotal,
    StaffMessage,
    StreamingSession,
    Utterance,
)

logger = logging.getLogger(__name__)

SCHEMA = "urn:heygen-portal:personal-data:1"
ROWS_PER_PAGE = 500
# Sending a chunk costs a change of threads.
BYTES_PER_CHUNK = 64 * 1024
YOU, STAFF = "you", "staff"
# Secrets, and columns that only prove the record.
HIDDEN_COLUMNS = frozenset(
    {
        "password",
        "sealed",
        "answer",
        "fingerprint",
        "signature",
        "hash",
        "previous_hash",
        "session_hash",
        "last_key",
        "post_data",
        "words_signature",
    }
)

# Keys in an event's data with statements about rows of other tables.
STATEMENT_KEYS = frozenset({statements.ROWS, statements.DELETED_ROWS})

# Raised when a row is read that was tampered with, or whose key is missing.
READ_ERRORS = (DatabaseError, InvalidTag, ArithmeticError, AttributeError, TypeError, ValueError, RecursionError)

# Key of an event's encrypted texts.
SEALED = "sealed"
UNREADABLE_REST, UNREADABLE_TEXT = "rest_could_not_be_read", "could_not_be_opened"

Row = Mapping[str, Any]
RowT = TypeVar("RowT")


class PersonalRow(dict[str, Any]):
    """The exported columns of a row, with its model for labels and choices."""

    def __init__(self, values: Mapping[str, Any], model: type[Model] | None = None) -> None:
        super().__init__(values)
        self.model = model

    def __or__(self, other: Any) -> Any:
        return PersonalRow({**self, **other}, self.model)

    def __ror__(self, other: Any) -> Any:
        return PersonalRow({**other, **self}, self.model)


@dataclass(frozen=True)
class Section:
    """One kind of data.

    `name` is its key in the JSON, `title` its heading on the page.
    """

    name: str
    title: str | Promise
    rows: Callable[[User], Iterator[Row]]


def as_json(user: User) -> Iterator[bytes]:
    """Yield the JSON document in chunks."""
    return in_chunks(_json(user))


def _json(user: User) -> Iterator[bytes]:
    header = {
        "schema": SCHEMA,
        "portal": current().name,
        "made_at": json_value(timezone.now()),
        "person": user.get_username(),
    }
    yield to_json(header)[:-1].encode()
    for section in SECTIONS:
        yield f",{to_json(section.name)}:".encode()
        yield from _json_list(section.rows(user))
    yield b"}\n"


def in_chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join pieces into chunks of at least BYTES_PER_CHUNK, except the last."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= BYTES_PER_CHUNK:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def file_name(user: User, extension: str) -> str:
    """Return the file name of a download."""
    return f"personal-data-{user.pk}-{timezone.now():%Y-%m-%d}.{extension}"


def until_unreadable(rows: Iterator[RowT]) -> Iterator[RowT | Row]:
    """Yield rows up to the first that cannot be read.

    A row that says so replaces the rest of the list.

    The other lists still follow, so that the document never looks complete when it is not.
    """
    try:
        yield from rows
    except READ_ERRORS as exc:
        logger.warning("personal data: the rest of a list could not be read: %s", type(exc).__name__)
        yield PersonalRow({UNREADABLE_REST: True})


# JSON


def _json_list(rows: Iterator[Row]) -> Iterator[bytes]:
    """Yield rows as a JSON array, one by one.

    Values that are iterators become arrays too.
    """
    before = "["
    for row in until_unreadable(rows):
        flat = {name: value for name, value in row.items() if not isinstance(value, Iterator)}
        yield before.encode() + to_json(flat)[:-1].encode()
        for name, value in row.items():
            if isinstance(value, Iterator):
                yield f"{',' if flat else ''}{to_json(name)}:".encode()
                yield from _json_list(value)
        yield b"}"
        before = ","
    yield b"]" if before == "," else b"[]"


# Where the data is stored


def _account(user: User) -> Iterator[Row]:
    membership = Membership.objects.select_related("organisation").filter(user=user).first()
    organisation = membership.organisation.name if membership else None
    preferences = {"language": languages.of(user), "time_zone": str(time_zones.of(user.pk))}
    yield _fields(user, user) | audit_log.access_of(user) | preferences | {"organisation": organisation}


def _rows_naming(
    model: type[Model], *names: str, exclude: frozenset[str] = frozenset(), related: tuple[str, ...] = ()
) -> Callable[[User], Iterator[Row]]:
    """Return a reader of the rows that refer to the person in one of these columns."""

    def rows(user: User) -> Iterator[Row]:
        condition = Q()
        for name in names:
            condition |= Q(**{name: user.pk})
        found: Any = model._default_manager.filter(condition)
        for row in paged_by_key(found.select_related(*related) if related else found):
            yield _fields(row, user, exclude)

    return rows


def paged_by_key(rows: QuerySet[Any]) -> Iterator[Any]:
    """Yield rows in order of their keys, without a cursor held open between pages."""
    rows = rows.order_by("pk")
    page: list[Any] = []
    while page := list((rows.filter(pk__gt=page[-1].pk) if page else rows)[:ROWS_PER_PAGE]):
        yield from page
        if len(page) < ROWS_PER_PAGE:
            return


def _oldest_first(sessions: QuerySet[StreamingSession]) -> Iterator[StreamingSession]:
    """Yield sessions in order of their start, in pages as `paged_by_key` does."""
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
        for row in paged_by_key(rows):
            stored = row.failed or row.succeeded
            yield {"log": stored._meta.model_name} | _fields(stored, user)


def _login_sessions(user: User) -> Iterator[Row]:
    for session in logins.sessions_of(user.pk):
        yield {"expires_at": json_value(session.expire_date)}


def _invitations(user: User) -> Iterator[Row]:
    condition = Q(used_by=user) | Q(invited_by=user)
    if personal_logs.belongs_only_to(user.email, user):
        condition |= Q(email__iexact=user.email)
    for row in paged_by_key(Invitation.objects.filter(condition).select_related("group")):
        yield _fields(row, user)


def _usage(user: User) -> Iterator[Row]:
    now = timezone.now()
    quota = quotas.monthly_quota(user.pk)
    used = json_value(quotas.used_by(user.pk, now))
    months_in = str(timezone.get_default_timezone())
    yield {"used_this_month_s": used, "quota_s": json_value(quota), "time_zone_of_months": months_in}
    yield from _rows_naming(Quota, "user")(user)


def _audit_entries(user: User) -> Iterator[Row]:
    """Yield the person's own audit entries, and those about changes of their access."""
    for row in paged_by_key(personal_logs.audit_entries_of(user)):
        values = _fields(row, user)
        values["data"] = {name: value for name, value in row.data.items() if name not in STATEMENT_KEYS}
        if row.by_id != user.pk:
            values["address"] = None
        yield values


def _admin_log_about(user: User) -> Iterator[Row]:
    for row in paged_by_key(personal_logs.admin_log_about(user)):
        yield _fields(row, user)


def _sessions(user: User) -> Iterator[Row]:
    rows = StreamingSession.objects.filter(user=user).select_related("persona", "account")
    for session in _oldest_first(rows):
        values = _fields(session, user) | {"end_evidence": anonymize_staff(session.end_evidence, user.pk)}
        yield values | {
            "lines": (
                _line(line, user) for line in _with_standing(paged_by_key(Utterance.objects.filter(session=session)))
            ),
            "tasks": (_text_row(task, user) for task in paged_by_key(SessionTask.objects.filter(session=session))),
            "answers": (_fields(row, user) for row in paged_by_key(Answer.objects.filter(session=session))),
            "events": _events(session, user),
            "consents": (_fields(row, user) for row in paged_by_key(Consent.objects.filter(session=session))),
            "legal_holds": (
                _fields(hold, user, frozenset({"reason"}))
                for hold in paged_by_key(LegalHold.objects.filter(session=session))
            ),
            "erasures": (_fields(row, user) for row in paged_by_key(Erasure.objects.filter(session=session))),
            "erasures_at_provider": (
                _fields(row, user) for row in paged_by_key(ProviderErasure.objects.filter(erasure__session=session))
            ),
            "costs": (_fields(row, user) for row in paged_by_key(SessionTotal.objects.filter(session=session))),
            "exports": (
                _fields(row, user, frozenset({"asked_from", "filters"}))
                for row in paged_by_key(Export.objects.filter(session=session))
            ),
        }


def _with_standing(lines: Iterator[Utterance]) -> Iterator[Utterance]:
    """Mark each line with who vouches for it, a page at a time."""
    while page := list(islice(lines, ROWS_PER_PAGE)):
        yield from line_standing.set_standing(page)


def _line(line: Utterance, user: User) -> Row:
    values = _text_row(line, user)
    return PersonalRow({**values, "standing": line.standing, "interruption": line.interruption}, values.model)


def _text_row(row: Utterance | SessionTask, user: User) -> PersonalRow:
    values = _fields(row, user)
    try:
        text = {"text": row.text}
    except (InvalidTag, TypeError, ValueError):
        text = {"text": None, UNREADABLE_TEXT: True}
    return PersonalRow({**values, **text}, values.model)


def _events(session: StreamingSession, user: User) -> Iterator[Row]:
    wrapped = tool_events.wrapped_key_of(session.pk)
    for event in paged_by_key(SessionEvent.objects.filter(session=session)):
        yield _event(event, user, wrapped)


def _event(event: SessionEvent, user: User, wrapped: bytes) -> Row:
    """Return an event, with the texts that are sealed in it."""
    excluded = STATEMENT_KEYS | {SEALED} | ({"reason"} if event.kind == EventKind.HELD else frozenset())
    values = {name: value for name, value in event.data.items() if name not in excluded}
    if event.data.get(SEALED) and wrapped:  # otherwise erased
        texts: dict[str, Any] = {**tool_events.content_of(event, wrapped)}
        values |= texts or {"text": None, UNREADABLE_TEXT: True}
    shown: PersonalRow = _fields(event, user, frozenset({"session"})) | {"data": anonymize_staff(values, user.pk)}
    return shown


def anonymize_staff(values: Mapping[str, Any], user_id: int) -> dict[str, Any]:
    """Return event or evidence data without names and addresses of staff."""
    who = {name: values[name] for name in ("by", "user") if values.get(name) not in (None, user_id)}
    if not who:
        return dict(values)
    return {name: STAFF if name in who else value for name, value in values.items() if name != "from"}


def _fields(row: Any, user: User, exclude: frozenset[str] = frozenset()) -> PersonalRow:
    """Return the columns of a row that are not hidden.

    People become `you` or `staff`.
    """
    values: dict[str, Any] = {}
    hidden = HIDDEN_COLUMNS | exclude
    for field in row._meta.concrete_fields:
        if field.name in hidden or isinstance(field, BinaryField):
            continue
        value = getattr(row, field.attname)
        if field.is_relation and field.related_model is User:
            value = value and (YOU if value == user.pk else STAFF)
        elif field.is_relation and field.is_cached(row):
            value = value and str(getattr(row, field.name))
        values[field.name] = _json_safe(value)
    return PersonalRow(values, row._meta.model)


def _json_safe(value: Any) -> Any:
    """Return a value that JSON can hold. Other values become text."""
    safe = json_value(value) if not hasattr(value, "isoformat") or isinstance(value, datetime) else value.isoformat()
    return safe if isinstance(safe, str | int | float | bool | list | dict | None) else str(safe)


SECTIONS: tuple[Section, ...] = (
    Section("account", _("Account"), _account),
    Section("email_addresses", _("E-mail addresses"), _rows_naming(EmailAddress, "user")),
    Section("single_sign_on", _("Single sign-on"), _rows_naming(SocialAccount, "user")),
    Section("second_factors", _("Second factors"), _rows_naming(Authenticator, "user", exclude=frozenset({"data"}))),
    Section("sign_ins", _("Sign-ins"), _sign_ins),
    Section("login_sessions", _("Active logins"), _login_sessions),
    Section("invitations", _("Invitations"), _invitations),
    Section("use", _("Usage and limits"), _usage),
    Section("queue", _("Queue"), _rows_naming(QueueEntry, "user", exclude=frozenset({"channel", "process"}))),
    Section("conversations", _("Conversations"), _rows_naming(Conversation, "user", related=("persona",))),
    Section("sessions", _("Sessions"), _sessions),
    Section("audit_entries", _("Audit log"), _audit_entries),
    Section("admin_log_about_you", _("Changes to your account by administrators"), _admin_log_about),
    Section("api_keys", _("API keys"), _rows_naming(ApiKey, "owner", "created_by")),
    Section(
        "api_requests",
        _("Requests of your programs in the last day"),
        _rows_naming(IdempotentRequest, "owner"),
    ),
    Section("exports", _("Exports that you made"), _rows_naming(Export, "asked_by")),
    Section("legal_holds", _("Legal holds that you set or released"), _rows_naming(LegalHold, "by", "released_by")),
    Section("erasures", _("Erasures that you asked for"), _rows_naming(Erasure, "by")),
    Section(
        "tool_versions",
        _("Tools that you saved"),
        _rows_naming(HttpToolVersion, "saved_by", exclude=frozenset({"secret_headers"})),
    ),
    Section("persona_versions", _("Personas that you saved"), _rows_naming(PersonaVersion, "saved_by")),
    Section("knowledge_versions", _("Knowledge that you saved"), _rows_naming(KnowledgeVersion, "saved_by")),
    Section("documents", _("Documents that you added"), _rows_naming(Document, "created_by")),
    Section("document_versions", _("Versions of documents that you added"), _rows_naming(DocumentVersion, "added_by")),
    Section("written_answers", _("Answers that you wrote"), _rows_naming(WrittenAnswer, "saved_by")),
    Section("messages", _("Messages to the team that you handled"), _rows_naming(StaffMessage, "handled_by")),
    Section("videos", _("Videos that you ordered"), _rows_naming(Video, "created_by")),
    Section("test_runs", _("Tests of personas that you ran"), _rows_naming(PersonaTestRun, "asked_by")),
    Section("catalogue_syncs", _("Catalogue syncs that you started"), _rows_naming(CatalogueSync, "asked_by")),
    Section("admin_log", _("Changes that you made in the administration"), _rows_naming(LogEntry, "user")),
)
