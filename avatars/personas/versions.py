"""The versions of a persona. Each save creates one, and none is ever changed.

`avatars.personas.concurrent_edits` merges changes that two editors make at the same time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import models, transaction
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from avatars.models import Persona, PersonaVersion
from avatars.models.personas import PersonaContent
from avatars.models.stated import PERSONA, PERSONA_GROUP, PERSONA_VERSION
from heygen_portal.trail import audit_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry


@dataclass(frozen=True)
class Difference:
    """One field that differs between two versions, with both values as text."""

    name: str
    label: str
    before: str
    after: str


def newest(persona: Persona) -> PersonaVersion | None:
    """Return the newest version, or None if the persona has none."""
    return persona.versions.select_related(
        "avatar__account", "voice", "knowledge_base", "model_service", "library", "saved_by"
    ).first()


def with_number(persona: Persona, number: int) -> PersonaVersion | None:
    """Return the version with this number, if it exists."""
    return persona.versions.filter(number=number).first()


def as_of(persona: Persona, version: PersonaVersion | None) -> Persona:
    """Return a copy of a persona with a version's content.

    The copy is to be shown, tried or edited, and must not be saved.
    """
    return _copy_fields(copy.copy(persona), version) if version else persona


def as_draft(persona: Persona) -> Persona:
    """Return a copy of a persona with the content of its newest version."""
    return as_of(persona, newest(persona))


@transaction.atomic
def save_version(persona: Persona, saved_by: int | None = None) -> PersonaVersion:
    """Store a persona's content as its newest version, with an audit entry.

    The published version stays published.

    A new persona is stored as well.
    """
    is_new = persona.pk is None
    if is_new:
        persona.save()
    stored = Persona.objects.select_for_update().get(pk=persona.pk)
    last = newest(stored)
    content = {name: getattr(persona, name) for name in PersonaContent.content_fields()}
    number = max(last.number if last else 0, stored.version) + 1
    version = PersonaVersion.objects.create(persona=stored, number=number, saved_by_id=saved_by, **content)
    stated = set_current(stored, version) if stored.status == Persona.Status.DRAFT else {}
    if is_new:
        stated = statements.state(PERSONA, Persona.objects.get(pk=persona.pk))
    stated = statements.merged(stated, statements.state(PERSONA_VERSION, PersonaVersion.objects.get(pk=version.pk)))
    numbers = [last.number if last else None, number]
    audit_log.record_by(saved_by, None, AuditEntry.Kind.VERSION_SAVED, version.name, version=numbers, **stated)
    return version


def set_current(persona: Persona, version: PersonaVersion, **changes: Any) -> dict[str, Any]:
    """Copy a version into the persona's own columns and save them.

    Return what the caller's audit entry must state about the row.
    """
    before = Persona.objects.get(pk=persona.pk)
    _copy_fields(persona, version)
    for name, value in changes.items():
        setattr(persona, name, value)
    persona.save(update_fields=[*PersonaContent.content_fields(), "current", "version", *changes])
    return statements.changed(PERSONA, before, Persona.objects.get(pk=persona.pk))


def group_rows(persona: Persona) -> list[Any]:
    """Return the rows that restrict a persona to groups."""
    return list(Persona.groups.through.objects.filter(persona=persona.pk).order_by("pk"))


def groups_changed(before: Iterable[Any], persona: Persona) -> dict[str, Any]:
    """Return data that states the groups added and removed since `before`."""
    return statements.replaced(PERSONA_GROUP, before, group_rows(persona))


def delete(persona: Persona, actor: Actor) -> None:
    """Delete a persona that was never published, with its versions."""
    with transaction.atomic():
        stated = statements.deleted(
            (PERSONA, persona),
            *((PERSONA_VERSION, row) for row in persona.versions.all()),
            *((PERSONA_GROUP, row) for row in group_rows(persona)),
        )
        audit_log.record_by(actor.user_id, actor.address, AuditEntry.Kind.PERSONA_DELETED, persona, **stated)
        persona.delete()


def differences(before: PersonaContent, after: PersonaContent) -> list[Difference]:
    """Return the fields that differ, in the order of their definition."""
    return [
        Difference(name, _label(name), describe(before, name), describe(after, name))
        for name in PersonaContent.content_fields()
        if getattr(before, _attname(name)) != getattr(after, _attname(name))
    ]


def describe(content: PersonaContent, name: str) -> str:
    """Return one field's value as text."""
    value = getattr(content, f"get_{name}_display", lambda: getattr(content, name))()
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {number}" for key, number in sorted(value.items())) or "–"
    return "–" if value in (None, "") else str(value)


def _copy_fields(persona: Persona, version: PersonaVersion) -> Persona:
    for name in PersonaContent.content_fields():
        setattr(persona, name, getattr(version, name))
    persona.current, persona.version = version, version.number
    return persona


def _label(name: str) -> str:
    return capfirst(str(_field(name).verbose_name))


def _attname(name: str) -> str:
    return _field(name).attname


def _field(name: str) -> models.Field[Any, Any]:
    field = PersonaContent._meta.get_field(name)
    assert isinstance(field, models.Field)
    return field
