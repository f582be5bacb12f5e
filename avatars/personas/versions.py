"""The versions of a persona: each save is one, and none is ever changed.

Whoever saves says which version the work began with. If another one was saved meanwhile, nobody's work is lost: the
second is told what changed, and decides.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import models, transaction
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from avatars.models import Persona, PersonaVersion
from avatars.models.personas import PersonaContent


@dataclass(frozen=True)
class Difference:
    """One thing that two versions say differently, in words."""

    name: str
    label: str
    before: str
    after: str


def newest(persona: Persona) -> PersonaVersion | None:
    """What was saved last; None for a persona that was never saved as one."""
    return persona.versions.select_related("avatar__account", "voice", "knowledge_base", "saved_by").first()


def with_number(persona: Persona, number: int) -> PersonaVersion | None:
    """The version with this number."""
    return persona.versions.filter(number=number).first()


def as_of(persona: Persona, version: PersonaVersion | None) -> Persona:
    """Return a persona as this version has it: to be looked at, tried or edited, not to be stored."""
    return _copy_fields(copy.copy(persona), version) if version else persona


def as_draft(persona: Persona) -> Persona:
    """Return a persona as it was saved last."""
    return as_of(persona, newest(persona))


@transaction.atomic
def save_version(persona: Persona, saved_by: int | None = None) -> PersonaVersion:
    """Store what this persona is composed of as its newest version; people go on meeting the published one.

    A persona that is new is stored itself, too.
    """
    if persona.pk is None:
        persona.save()
    stored = Persona.objects.select_for_update().get(pk=persona.pk)
    last = newest(stored)
    content = {name: getattr(persona, name) for name in PersonaContent.content_fields()}
    number = max(last.number if last else 0, stored.version) + 1
    version = PersonaVersion.objects.create(persona=stored, number=number, saved_by_id=saved_by, **content)
    if stored.status == Persona.Status.DRAFT:
        set_current(stored, version)
    return version


def set_current(persona: Persona, version: PersonaVersion, **changes: Any) -> None:
    """Let the persona's own columns be this version's."""
    _copy_fields(persona, version)
    for name, value in changes.items():
        setattr(persona, name, value)
    persona.save(update_fields=[*PersonaContent.content_fields(), "current", "version", *changes])


def differences(before: PersonaContent, after: PersonaContent) -> list[Difference]:
    """What the second says differently from the first, in the order of the fields."""
    return [
        Difference(name, _label(name), describe(before, name), describe(after, name))
        for name in PersonaContent.content_fields()
        if getattr(before, _attname(name)) != getattr(after, _attname(name))
    ]


def describe(content: PersonaContent, name: str) -> str:
    """One part as people read it."""
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
