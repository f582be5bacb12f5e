"""All data stored about one person, as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db.models import Field, ForeignKey, Model
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.branding.current import current
from heygen_portal.console.durations import readable_duration
from heygen_portal.trail import audit_labels
from heygen_portal.trail.models import AuditEntry
from sessions.actions import queries
from sessions.labels import event_labels
from sessions.labels.readable_data import as_list, column_value, moment, value_of
from sessions.lifecycle import end_evidence, line_standing
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import Utterance
from sessions.personal_data.contents import (
    SECTIONS,
    STAFF,
    UNREADABLE_REST,
    UNREADABLE_TEXT,
    YOU,
    PersonalRow,
    Section,
    in_chunks,
    until_unreadable,
)
from sessions.timeline import moments

STYLE = """
:root{color-scheme:light dark;--line:light-dark(#d8d8d2,#3d3f3a);--muted:light-dark(#5a5c55,#b0b2aa)}
*{box-sizing:border-box}
body{font:1rem/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto 4rem;padding:0 1rem;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.25rem;margin:2.5rem 0 .5rem}h3{font-size:1.05rem;margin:0 0 .5rem}
article,.row{border:1px solid var(--line);border-radius:.6rem;padding:.75rem 1rem;margin:.75rem 0}
dl{display:grid;grid-template-columns:minmax(9rem,16rem) 1fr;gap:.25rem 1rem;margin:0}
dt,.muted{color:var(--muted)}dt,.muted,.data,time{font-size:.9rem}
dd{margin:0;white-space:pre-wrap}dd .data{white-space:normal}
summary{cursor:pointer;padding:.35rem 0}details>*:not(summary){margin-top:.5rem}
.lines,.events,.data{list-style:none;margin:0;padding:0}
.lines li{margin:.75rem 0}.lines p{margin:.1rem 0 0;white-space:pre-wrap}
.events>li{padding:.35rem 0;border-top:1px solid var(--line)}
.data .data{padding-inline-start:1rem}.data b{font-weight:600}
time{color:var(--muted);font-variant-numeric:tabular-nums}
@media (max-width:36rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}}
"""

# Labels of columns without one in their model, and of values that are not columns.
LABELS: dict[str, str | Promise] = {
    "id": "ID", "user": _("user"), "uid": _("ID in the directory"), "type": _("kind"), "log": _("kind"),
    "session": _("Conversation"), "created_at": _("created"), "last_used_at": _("last used"),
    "expires_at": _("valid until"), "verified": _("confirmed"), "primary": _("main address"),
    "extra_data": _("data from the directory"),
    "user_agent": _("browser"), "ip_address": _("address"), "username": _("user name"), "path_info": _("page"),
    "http_accept": _("accepted formats"), "attempt_time": _("time"), "logout_time": _("signed out"),
    "get_data": _("query parameters"), "failures_since_start": _("failed attempts"),
    "locked_out": _("locked out"), "roles": _("roles"), "permissions": _("individual permissions"),
    "language": _("language"), "time_zone": _("time zone"),
    "is_staff": _("staff access"), "used_this_month_s": _("used this month"),
    "quota_s": _("monthly quota"), "time_zone_of_months": _("time zone of months"),
    "version": _("saved version"), "record_format": _("format of the record"),
    "seal_format": _("format of the stored text"), "prints": _("fingerprints"), "touched_at": _("last written"),
    "moved_at": _("last step"), "since": _("since"), "polls": _("checks so far"), "process": _("process"),
    "text": _("text"), "object_repr": _("about"), "object_id": _("ID"), "action_flag": _("what"),
    "deadline_at": _("to be ended by"), "file": _("file"), "chunks_fingerprint": _("fingerprint of the passages"),
    "change_message": _("description"), "answers_ms": _("response times, in ms"), "data": _("data"),
}  # fmt: skip

# Apps with translated column labels. For other apps, `LABELS` takes precedence.
OWN_APPS = ("avatars", "heygen_portal", "sessions")

LOGS: dict[str, str | Promise] = {
    "accesslog": _("Signed in"),
    "accessattempt": _("Failed attempts"),
    "accessfailurelog": _("Failed attempt"),
}
FACTORS: dict[str, str | Promise] = {
    "totp": _("authenticator app"),
    "recovery_codes": _("recovery codes"),
    "webauthn": _("security key"),
}
SECONDS_COLUMNS = ("used_this_month_s", "quota_s")
# The first that a row has is its date.
DATE_COLUMNS = ("attempt_time", "at", "asked_at", "saved_at", "action_time", "created_at", "expires_at")
# The first two that a folded row has follow the date in its heading.
SUMMARY_COLUMNS = ("log", "kind", "what", "name", "title", "object_repr", "email", "state", "status", "about")
UNFOLDED_SECTIONS = ("account", "email_addresses", "single_sign_on", "second_factors", "login_sessions", "use", "queue")
EMPTY_VALUES: tuple[Any, ...] = (None, "", [], {})
# Columns of a session that are described in words.
SESSION_FACTS = ("persona", "created_at", "ended_at", "end_reason", "end_evidence")

SESSION_LISTS: dict[str, str | Promise] = {
    "tasks": _("Texts for the avatar"),
    "answers": _("Answers of the organisation’s model"),
    "events": _("Events"),
    "consents": _("Notice that you accepted"),
    "legal_holds": _("Legal holds"),
    "erasures": _("Erasures"),
    "erasures_at_provider": _("Erasures at the provider"),
    "costs": _("Costs"),
    "exports": _("Exports"),
}


def as_page(user: User) -> Iterator[bytes]:
    """Yield the page in chunks, in the language and time zone that are active now."""
    language, zone = translation.get_language() or "en", timezone.get_current_timezone()
    return in_chunks(_translated(language, zone, _page(user, language)))


def _translated(language: str, zone: Any, pieces: Iterator[SafeString]) -> Iterator[bytes]:
    """Generate each piece in a language and time zone.

    Responses are generated in other threads, which have their own.
    """
    while True:
        with translation.override(language), timezone.override(zone):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece.encode("utf-8", "backslashreplace")


def label(model: type[Model] | None, name: str) -> str:
    """Return the label of a column in the active language.

    Without a label, it is the name of the column.
    """
    field = _field(model, name)
    named = field.verbose_name if field and isinstance(field.verbose_name, Promise) else None
    has_own = named is not None and model is not None and model.__module__.split(".")[0] in OWN_APPS
    found = named if has_own else LABELS.get(name, named)
    return capfirst(str(found)) if found else capfirst(name.replace("_", " "))


def _page(user: User, language: str) -> Iterator[SafeString]:
    title = current().titled(gettext("Personal data of %(name)s") % {"name": user.get_username()})
    zone = timezone.get_current_timezone_name()
    yield format_html(
        '<!doctype html><html lang="{}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>{}</title>'
        '<style>{}</style></head><body><h1>{}</h1><p class="muted">{} {}</p>',
        language, title, SafeString(STYLE), title,
        gettext("Created on %(at)s. Times are in %(zone)s.") % {"at": moment(timezone.now()), "zone": zone},
        gettext("The JSON file contains the same data with all technical details."),
    )  # fmt: skip
    for section in SECTIONS:
        yield format_html("<section><h2>{}</h2>", section.title)
        yield from _or_empty_note(_section(section, user))
        yield mark_safe("</section>")
    yield mark_safe("</body></html>\n")


def _or_empty_note(pieces: Iterator[SafeString]) -> Iterator[SafeString]:
    first = next(pieces, None)
    if first is None:
        yield format_html('<p class="muted">{}</p>', gettext("Nothing is stored."))
    else:
        yield from chain([first], pieces)


def _section(section: Section, user: User) -> Iterator[SafeString]:
    rows = until_unreadable(section.rows(user))
    if section.name == "sessions":
        for row in rows:
            yield from _session(row, user)
        return
    for row in rows:
        yield _row(row, is_folded=section.name not in UNFOLDED_SECTIONS)


# One row


def _row(row: Mapping[str, Any], *, is_folded: bool) -> SafeString:
    if UNREADABLE_REST in row:
        return _unreadable_rest()
    columns = _definition_list(row)
    if not is_folded:
        return format_html('<div class="row">{}</div>', columns)
    heading = " · ".join(part for part in (_date_of(row), *_summary_of(row)) if part)
    return format_html("<details><summary>{}</summary>{}</details>", heading or gettext("Details"), columns)


def _unreadable_rest() -> SafeString:
    return format_html("<p><strong>{}</strong></p>", gettext("The rest of this list could not be read."))


def _definition_list(row: Mapping[str, Any], exclude: tuple[str, ...] = ()) -> SafeString:
    shown = (
        (label(_model(row), name), _value(row, name, value))
        for name, value in row.items()
        if not (
            isinstance(value, Iterator) or value in EMPTY_VALUES or name in exclude or (name, value) == ("user", YOU)
        )
    )
    return format_html("<dl>{}</dl>", format_html_join("", '<dt>{}</dt><dd dir="auto">{}</dd>', shown))


def _date_of(row: Mapping[str, Any]) -> str:
    at = next((row[name] for name in DATE_COLUMNS if row.get(name)), None)
    return value_of(at) if at else ""


def _summary_of(row: Mapping[str, Any]) -> list[str]:
    found = [name for name in SUMMARY_COLUMNS if row.get(name) not in EMPTY_VALUES][:2]
    return [str(_value(row, name, row[name])) for name in found]


def _model(row: Mapping[str, Any]) -> type[Model] | None:
    return row.model if isinstance(row, PersonalRow) else None


def _field(model: type[Model] | None, name: str) -> Field[Any, Any] | None:
    found = [each for each in model._meta.concrete_fields if each.name == name] if model else []
    return found[0] if found else None


def _value(row: Mapping[str, Any], name: str, value: Any) -> Any:
    model = _model(row)
    field = _field(model, name)
    match name, value:
        case "log", _:
            return LOGS.get(value, value)
        case "type", _ if value in FACTORS:
            return FACTORS[value]
        case "change_message", str():
            return LogEntry(change_message=value).get_change_message() or "–"
        case "language", str() if model is User:
            return translation.get_language_info(value)["name_local"]
        case "roles", list():
            return ", ".join(gettext(role) for role in value)
        case "data", dict() if model is AuditEntry:
            return audit_labels.describe(AuditEntry(kind=row["kind"], data=value))
        case _, int() | float() if name in SECONDS_COLUMNS:
            return readable_duration(timedelta(seconds=value))
        case _, dict():
            return as_list(_with_people(value))
        case _, list():
            return as_list({str(position): part for position, part in enumerate(value, start=1)})
    if isinstance(field, ForeignKey):
        return _person_or_name(field, value)
    return column_value(field, value) if field else value_of(value)


def _person_or_name(field: ForeignKey[Any, Any], value: Any) -> Any:
    if field.related_model is User:
        return _person(value)
    if isinstance(value, int):  # a key: show the name of its row
        found = field.related_model._default_manager.filter(pk=value).first()
        return str(found) if found else value
    return value


def _person(value: Any) -> Any:
    return {YOU: gettext("you"), STAFF: gettext("the team")}.get(value, value)


def _with_people(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _person(value) if isinstance(value, str) else value for name, value in data.items()}


# A conversation


def _session(row: Mapping[str, Any], user: User) -> Iterator[SafeString]:
    if UNREADABLE_REST in row:
        yield _unreadable_rest()
        return
    evidence = end_evidence.describe(row["end_evidence"]) if row["end_evidence"] else ""
    began, ended = (datetime.fromisoformat(row[name]) if row[name] else None for name in ("created_at", "ended_at"))
    facts = [
        (gettext("Duration"), readable_duration(ended - began) if began and ended else gettext("Still open")),
        (gettext("End reason"), " ".join(part for part in (_sentence(row["end_reason"]), evidence) if part)),
    ]
    yield format_html(
        "<article><h3>{}</h3><dl>{}</dl>",
        gettext("%(persona)s, %(at)s") % {"persona": row["persona"], "at": moment(row["created_at"])},
        format_html_join("", "<dt>{}</dt><dd>{}</dd>", ((name, text) for name, text in facts if text)),
    )
    yield from _transcript(row)
    for name, title in SESSION_LISTS.items():
        write: Writer = {"events": _event, "tasks": _task}.get(name, _entry)
        yield from _folded(str(title), until_unreadable(row[name]), write, row)
    more = _definition_list(row, SESSION_FACTS)
    yield format_html("<details><summary>{}</summary>{}</details></article>", gettext("More about this session"), more)


def _sentence(end_reason: str) -> str:
    return f"{end_evidence.own_label(end_reason)}." if end_reason else ""


def _transcript(row: Mapping[str, Any]) -> Iterator[SafeString]:
    parts = queries.transcript_batches(UUID(row["id"]))
    items = (_line(line, row) for line in until_unreadable(chain.from_iterable(parts)))
    first = next(items, None)
    if first is None:
        yield format_html('<p class="muted">{}</p>', gettext("Nothing was said."))
        return
    yield mark_safe('<ol class="lines">')
    yield first
    yield from items
    yield mark_safe("</ol>")


def _line(line: Any, row: Mapping[str, Any]) -> SafeString:
    if not isinstance(line, Utterance):
        return format_html("<li>{}</li>", _unreadable_rest())
    who = gettext("You") if line.who == Utterance.Who.USER else row["persona"]
    text = line.shown or gettext("[erased]")
    return format_html(
        '<li><time>{}</time> <b><bdi>{}</bdi></b> <span class="muted">{}</span><p dir="auto">{}</p></li>',
        f"{timezone.localtime(line.at):%H:%M:%S}", who, " · ".join(line_standing.notes(line)), text,
    )  # fmt: skip


Writer = Callable[[Mapping[str, Any], Mapping[str, Any]], SafeString]


def _folded(title: str, rows: Iterator[Any], write: Writer, session: Mapping[str, Any]) -> Iterator[SafeString]:
    """Yield a folded list, or nothing for an empty one."""
    first = next(rows, None)
    if first is None:
        return
    yield format_html('<details><summary>{}</summary><ol class="events">', title)
    for row in chain([first], rows):
        yield format_html("<li>{}</li>", _unreadable_rest() if UNREADABLE_REST in row else write(row, session))
    yield mark_safe("</ol></details>")


def _event(event: Mapping[str, Any], row: Mapping[str, Any]) -> SafeString:
    at = timezone.localtime(datetime.fromisoformat(event["at"]))
    data = event["data"]
    occurrence = moments.Moment(at, event["source"], event["kind"], data)
    words = event_labels.details(occurrence, row["persona"])
    rest = _with_people(
        {name: value for name, value in data.items() if not words or name not in event_labels.DETAIL_LABELS}
    )
    return format_html(
        '<time>{}</time> <b>{}</b> <span class="muted">{}</span>{}',
        f"{at:%H:%M:%S}",
        event_labels.title(occurrence, is_own=True),
        " · ".join(part for part in (str(_value(event, "source", event["source"])), words) if part),
        as_list(rest) if rest and event["kind"] != EventKind.STATUS else "",
    )


def _task(task: Mapping[str, Any], _row_of: Mapping[str, Any]) -> SafeString:
    text = gettext("[This text could not be decrypted.]") if UNREADABLE_TEXT in task else task["text"]
    about = ", ".join(
        str(_value(task, name, task[name])) for name in ("kind", "status", "failure", "sent_by") if task[name]
    )
    at = timezone.localtime(datetime.fromisoformat(task["created_at"]))
    return format_html(
        '<time>{}</time> <bdi>{}</bdi> <span class="muted">{}</span>', f"{at:%H:%M:%S}", text or "–", about
    )


def _entry(row: Mapping[str, Any], _row_of: Mapping[str, Any]) -> SafeString:
    return _definition_list(row)
