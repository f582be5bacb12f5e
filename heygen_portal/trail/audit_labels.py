"""Audit entries as text for people: labels, choices, values before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, ForeignKey
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal import permissions
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.stored_json import DamagedObject
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.statements import DELETED_ROWS, ROWS

Kind = AuditEntry.Kind
MODEL_BY_KIND: Mapping[str, str] = {
    Kind.ACCOUNT_CHANGED: "avatars.ProviderAccount",
    Kind.MODEL_CHANGED: "avatars.ModelService",
    Kind.TOOL_CHANGED: "avatars.HttpTool",
    Kind.PUBLISHED: "avatars.Persona",
    Kind.ROLLED_BACK: "avatars.Persona",
    Kind.UNPUBLISHED: "avatars.Persona",
    Kind.PERSONA_CHANGED: "avatars.Persona",
    Kind.VERSION_SAVED: "avatars.Persona",
    Kind.QUOTA_CHANGED: "avatar_sessions.Quota",
    Kind.ORGANISATION_CHANGED: "heygen_portal.Organisation",
    Kind.VIDEO_ORDERED: "avatars.Video",
    Kind.VIDEO_STATE: "avatars.Video",
    Kind.INVITATION_REVOKED: "heygen_portal.Invitation",
    Kind.API_KEY_CREATED: "heygen_portal.ApiKey",
    Kind.API_KEY_REPLACED: "heygen_portal.ApiKey",
    Kind.API_KEY_REVOKED: "heygen_portal.ApiKey",
    Kind.WEBHOOK_CHANGED: "heygen_portal.Webhook",
    Kind.EMBED_CHANGED: "avatar_sessions.PersonaEmbed",
    Kind.GUEST_LINK_CHANGED: "avatar_sessions.GuestLink",
}
"""The model whose fields an entry of this kind lists, each with its value before and after."""
CHOICES_BY_KIND: Mapping[str, str] = {
    Kind.EXPORTED: "avatar_sessions.Export",
    Kind.EXPORT_STATE: "avatar_sessions.Export",
}
"""The model whose choices the single values in an entry of this kind are."""
LABELS: Mapping[str, Any] = {
    "roles": _("roles"),
    "username": _("user name"),
    "email": _("e-mail address"),
    "first_name": _("first name"),
    "last_name": _("last name"),
    "groups": _("restricted to"),
    "is_active": _("may sign in"),
    "is_superuser": _("superuser"),
    "permissions": _("individual permissions"),
    "accepted": _("accepted by the provider"),
    "is_hidden": _("hidden"),
    "what": _("contents"),
    "format": _("format"),
    "filters": _("filters"),
    "reason": _("reason"),
    "words": _("words"),
    "state": _("status"),
    "faults": _("problems"),
    "count": _("number"),
    "hash": _("hash"),
    "bytes": _("bytes"),
    "sessions": _("sessions"),
    "version": _("version"),
    "is_new": _("first one"),
    "former_until": _("former secret valid until"),
    "bases": _("knowledge bases"),
    "changed": _("columns changed in the database"),
    "site": _("site"),
    "words_signed_from_line": _("words of lines covered from line"),
}
FILTERED_MODEL = "avatar_sessions.StreamingSession"
"""The model whose columns the filters of a list name."""
FILTER_LABELS: Mapping[str, Any] = {"q": _("search"), "said": _("transcript search, audit entry")}
FILTER_SIGNS: Mapping[str, str] = {"gte": "≥", "lt": "<"}
CATALOGUE_MODELS: Mapping[str, str] = {
    "avatar": "avatars.Avatar",
    "voice": "avatars.Voice",
    "knowledge_base": "avatars.KnowledgeBase",
}
"""The models that a sync of the catalogue states, by the names of their tables in the entry."""
HIDDEN_KEYS = (
    ROWS, DELETED_ROWS, audit_log.IS_COMPLETE, audit_log.USER_KEY, audit_log.INVITATION_KEY, audit_log.IS_RENAMED,
    audit_log.RENAMED, "person",
)  # fmt: skip
"""Keys for programs: rows of other tables that the entry covers, and the IDs of the users it is about."""


def describe(entry: AuditEntry) -> str:
    """Return an entry's content on one line."""
    if isinstance(entry.data, DamagedObject):
        return stored_json.label(entry.data)
    if entry.kind == Kind.SESSIONS_STOPPED:
        return stored_json.text(entry.data, "reason") or "–"
    parts = (
        f"{_label(entry.kind, name)}: {_value_text(entry.kind, name, value)}" for name, value in _shown_values(entry)
    )
    return "; ".join(parts) or "–"


def _shown_values(entry: AuditEntry) -> list[tuple[str, Any]]:
    """Return the values of an entry without those that are or stay empty."""
    empty: tuple[Any, ...] = (None, "", [], {})
    found = [(name, value) for name, value in entry.data.items() if value not in empty and name not in HIDDEN_KEYS]
    if entry.kind not in MODEL_BY_KIND:
        return found
    return [
        (name, pair) for name, pair in found if not (isinstance(pair, list) and all(side in empty for side in pair))
    ]


def _field(kind: str, name: str) -> Field[Any, Any] | None:
    try:
        field = apps.get_model({**MODEL_BY_KIND, **CHOICES_BY_KIND}[kind])._meta.get_field(name)
    except (KeyError, FieldDoesNotExist):
        return None
    return field if isinstance(field, Field) else None


def _label(kind: str, name: str) -> str:
    if name in LABELS:
        return str(LABELS[name])
    field = _field(kind, name)
    return str(field.verbose_name) if field else name


def _value_text(kind: str, name: str, value: Any) -> str:
    """Return a value as text. A list holds the value before and the value after."""
    field = _field(kind, name)
    match name, value:
        case "filters", dict():
            return filters_text(value)
        case "bases", dict():
            return ", ".join(map(str, value.values()))
        case "changed", list():
            return ", ".join(_label(kind, str(column)) for column in value)
        case "permissions", [list(before), list(after)]:
            return " → ".join(", ".join(map(_permission_label, side)) or "–" for side in (before, after))
        case "what", str() if kind == Kind.CATALOGUE_SYNCED and value in CATALOGUE_MODELS:
            return str(apps.get_model(CATALOGUE_MODELS[value])._meta.verbose_name_plural)
    choices = dict(field.flatchoices) if field else {}
    if isinstance(value, str):
        return str(choices.get(value, value))
    if isinstance(value, list):
        return " → ".join(_plain_text(choices.get(side, side) if isinstance(side, str) else side) for side in value)
    return _plain_text(value)


def _plain_text(value: Any) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if value in (None, "", [], {}):
        return "–"
    if isinstance(value, list):
        return ", ".join(gettext(str(part)) if part else "–" for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={part}" for name, part in value.items())
    return str(value)


def _permission_label(codename: Any) -> str:
    return permissions.label(codename) if isinstance(codename, str) else stored_json.label(codename)


def filters_text(filters: Mapping[str, Any]) -> str:
    """Return the filters of a list of sessions as text, such as "status: ended; persona: Lucía"."""
    return "; ".join(_filter_text(name, value) for name, value in filters.items()) or "–"


def _filter_text(name: str, value: Any) -> str:
    column, _separator, lookup = name.partition("__")
    known = {field.name: field for field in apps.get_model(FILTERED_MODEL)._meta.concrete_fields}
    if column not in known:
        return f"{FILTER_LABELS.get(name, name)}: {value}"
    field = known[column]
    sign = FILTER_SIGNS.get(lookup, ":")
    shown = dict(field.flatchoices).get(value, value) if isinstance(value, str) else value
    if isinstance(field, ForeignKey) and str(value).isdecimal():
        shown = field.related_model._default_manager.filter(pk=value).first() or value
    return f"{field.verbose_name}{sign} {shown}" if sign == ":" else f"{field.verbose_name} {sign} {shown}"
