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
from avatars.models.personas import Composed


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


def numbered(persona: Persona, number: int) -> PersonaVersion | None:
    """The version with this number."""
    return persona.versions.filter(number=number).first()


def applied(persona: Persona, version: PersonaVersion | None) -> Persona:
    """Return a persona as this version has it: to be looked at, tried or edited, not to be stored."""
    return _put(copy.copy(persona), version) if version else persona


def drafted(persona: Persona) -> Persona:
    """Return a persona as it was saved last."""
    return applied(persona, newest(persona))


@transaction.atomic
def keep(persona: Persona, saved_by: int | None = None) -> PersonaVersion:
    """Store what this persona is composed of as its newest version; people go on meeting the published one.

    A persona that is new is stored itself, too.
    """
    if persona.pk is None:
        persona.save()
    stored = Persona.objects.select_for_update().get(pk=persona.pk)
    last = newest(stored)
    composed = {name: getattr(persona, name) for name in Composed.parts()}
    number = max(last.number if last else 0, stored.version) + 1
    version = PersonaVersion.objects.create(persona=stored, number=number, saved_by_id=saved_by, **composed)
    if stored.status == Persona.Status.DRAFT:
        hold(stored, version)
    return version


def hold(persona: Persona, version: PersonaVersion, **changes: Any) -> None:
    """Let the persona's own columns be this version's."""
    _put(persona, version)
    for name, value in changes.items():
        setattr(persona, name, value)
    persona.save(update_fields=[*Composed.parts(), "current", "version", *changes])


def differences(before: Composed, after: Composed) -> list[Difference]:
    """What the second says differently from the first, in the order of the fields."""
    return [
        Difference(name, _label(name), in_words(before, name), in_words(after, name))
        for name in Composed.parts()
        if getattr(before, _attname(name)) != getattr(after, _attname(name))
    ]


def in_words(composed: Composed, name: str) -> str:
    """One part as people read it."""
    value = getattr(composed, f"get_{name}_display", lambda: getattr(composed, name))()
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {number}" for key, number in sorted(value.items())) or "–"
    return "–" if value in (None, "") else str(value)


def _put(persona: Persona, version: PersonaVersion) -> Persona:
    for name in Composed.parts():
        setattr(persona, name, getattr(version, name))
    persona.current, persona.version = version, version.number
    return persona


def _label(name: str) -> str:
    return capfirst(str(_field(name).verbose_name))


def _attname(name: str) -> str:
    return _field(name).attname


def _field(name: str) -> models.Field[Any, Any]:
    field = Composed._meta.get_field(name)
    assert isinstance(field, models.Field)
    return field
