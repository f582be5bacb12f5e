"""JSON of events and rows as a nested HTML list with translated labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.db import models
from django.utils import formats, timezone
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from avatars.models import Persona
from heygen_portal.console.durations import readable_duration
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.stored_json import DamagedObject
from heygen_portal.trail import statements
from sessions.exports.formats import to_json
from sessions.integrity import fault
from sessions.labels import event_labels
from sessions.lifecycle import coverage
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import EndReason, Status, StreamingSession

# Levels of nested lists; deeper values are shown as JSON.
MAX_DEPTH = 6
# Enough to recognise a row's key or a fingerprint.
SHORT_KEY_CHARACTERS = 8
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
FINGERPRINT = re.compile(r"[0-9a-f]{64}")

# Keys without a label in `event_labels`, whose values the timeline leaves to the export.
KEY_LABELS: dict[str, str | Promise] = {
    "page_at": _("browser clock"), "task": _("text"), "speech": _("fingerprint of the text"),
    "utterance": _("line"), "interrupted": _("interrupted"), "evidence": _("evidence"), "code": _("code"),
    "by": _("done by"), "user": _("user"), "export": _("export"), "format": _("format"), "state": _("state"),
    "version": _("saved version"), "record_format": _("format of the record"), "text": _("text"),
    "seal_format": _("format of the stored text"), "avatar_id": _("avatar"), "voice_id": _("voice"),
    "knowledge_base_id": _("knowledge base"), "takes_voice": _("voice input allowed"),
    "duration_limit_s": _("duration limit, in s"), "idle_timeout_s": _("idle limit, in s"),
    "sent": _("sent to the provider"), "sealed": _("text"), "confirmed": _("confirmed"), "to": _("after"),
    "is_accepted": _("accepted by the provider"), "accepted_at": _("accepted"), "notice": _("fingerprint"),
    "contact": _("E-mail address"), "arguments": _("arguments"), "result": _("result"),
    "guest": _("guest"), "site": _("site"), "link": _("guest link"), "age_confirmed": _("age confirmed"),
    stored_json.DAMAGED: _("damaged"),
}  # fmt: skip

# Events that record a change of status.
STATUS = EventKind.STATUS

Label = Callable[[str], str]


def as_list(data: Mapping[str, Any], label: Label | None = None) -> SafeString:
    """Return data as HTML.

    `label` returns the name of a key, by default `event_label`.
    """
    if isinstance(data, DamagedObject):
        return format_html("{}", stored_json.label(data))
    return _list(_entries(data, label or event_label, MAX_DEPTH))


def of_event(kind: str, data: Mapping[str, Any]) -> SafeString:
    """Return an event's data as HTML, with labels of statuses and end reasons."""
    if kind != STATUS or isinstance(data, DamagedObject):
        return as_list(data)
    labels = {"from": gettext("before"), "to": gettext("after")}
    words = {name: _status_or_reason(value) for name, value in data.items()}
    return as_list(words, lambda name: labels.get(name) or event_label(name))


def _status_or_reason(value: Any) -> Any:
    if isinstance(value, str):
        return str(dict([*Status.choices, *EndReason.choices]).get(value, value))
    return value


def event_label(name: str) -> str:
    """Return the label of a key in an event's data, or the key itself if it has none."""
    found = event_labels.DETAIL_LABELS.get(name) or KEY_LABELS.get(name) or _column_name(name)
    return str(found) if found else name.replace("_", " ")


def _column_name(name: str) -> Any:
    """Return the label of a column of sessions or personas.

    Events and settings name many of these columns.
    """
    for model in (StreamingSession, Persona):
        for field in model._meta.concrete_fields:
            if field.name == name and isinstance(field.verbose_name, Promise):
                return field.verbose_name
    return None


def moment(value: str | datetime) -> str:
    """Return a time in the current time zone, to the second."""
    at = timezone.localtime(datetime.fromisoformat(value) if isinstance(value, str) else value)
    return f"{formats.date_format(at, 'DATE_FORMAT')}, {at:%H:%M:%S}"


def value_of(value: Any) -> str:
    """Return the text of a single value."""
    match value:
        case None | "":
            return "–"
        case bool():
            return gettext("yes") if value else gettext("no")
        case int():
            return str(value)
        case float():
            return formats.localize(value)
        case str() if FINGERPRINT.fullmatch(value):
            return f"{value[:SHORT_KEY_CHARACTERS]}…"
        case str() if TIMESTAMP.match(value):
            return _moment_or_text(value)
    return str(event_labels.VALUE_LABELS.get(value, value)) if isinstance(value, str) else to_json(value)


def column_value(column: Any, value: Any) -> str:
    """Return the text of a JSON value, formatted according to its column."""
    if value is None or value == "":
        return "–"
    if getattr(column, "choices", None):
        return str(dict(column.flatchoices).get(value, value))
    try:
        match column:
            case models.DateTimeField():
                return moment(value)
            case models.DateField():
                return formats.date_format(date.fromisoformat(value), "DATE_FORMAT")
            case models.BooleanField():
                return gettext("yes") if value else gettext("no")
            case models.DurationField():
                return readable_duration(timedelta(seconds=value))
            case models.DecimalField() | models.FloatField():
                return formats.localize(float(value))
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return str(value) if isinstance(value, str | int) else value_of(value)


def _moment_or_text(value: str) -> str:
    try:
        return moment(value)
    except (ValueError, OverflowError):
        return value


def _entries(data: Mapping[str, Any], label: Label, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if name == statements.ROWS and isinstance(value, dict):
            yield from _rows(value)
        else:
            yield capfirst(label(name)), _nested(value, label, depth - 1)


def _nested(value: Any, label: Label, depth: int) -> Any:
    if not value or not isinstance(value, dict | list):
        return "–" if value in ([], {}) else value_of(value)
    if depth == 0:
        return to_json(value)
    if isinstance(value, dict):
        return _list(_entries(value, label, depth))
    if any(isinstance(part, dict | list) for part in value):
        return _list((str(position), _nested(part, label, depth - 1)) for position, part in enumerate(value, start=1))
    return ", ".join(value_of(part) for part in value)


def _rows(stated: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield an event's statements about rows in readable form."""
    understood = set()
    for name, key, columns in statements.stated_in({statements.ROWS: stated}):
        understood.add(name)
        table = coverage.TABLES.get(name)
        title = capfirst(str(fault.TABLE_NAMES.get(name, name)))
        entries = (_stated_entry(table, column, value) for column, value in columns.items())
        yield f"{title} {_short(key)}".strip(), _list(entries)
    for name, value in stated.items():
        if name not in understood:
            yield capfirst(str(fault.TABLE_NAMES.get(name, name))), _nested(value, event_label, MAX_DEPTH)


def _short(key: str) -> str:
    return f"{key[:SHORT_KEY_CHARACTERS]}…" if len(key) > len(str(2**63)) else key


def _stated_entry(table: statements.Table | None, name: str, value: Any) -> tuple[str, Any]:
    column = table.fields.get(name) if table else None
    if column is None:
        return capfirst(event_label(name)), _nested(value, event_label, MAX_DEPTH)
    label = capfirst(str(column.verbose_name) if isinstance(column.verbose_name, Promise) else event_label(name))
    if isinstance(column, models.JSONField | models.BinaryField) and value:
        return label, gettext("fingerprint %(hash)s") % {"hash": value_of(value)}
    if isinstance(column, models.DurationField) and isinstance(value, int):
        value /= 1_000_000  # statements count microseconds
    return label, column_value(column, value)


def _list(entries: Iterable[tuple[str, Any]]) -> SafeString:
    return format_html('<ul class="data">{}</ul>', format_html_join("", "<li><b>{}:</b> {}</li>", entries))
