"""The tests of a persona in the database."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from avatars.models import Persona, PersonaTest
from heygen_portal.trail import audit_log, change_log
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry
from sessions.persona_tests import script
from sessions.persona_tests.script import Test


def tests_of(persona_id: int) -> list[Test]:
    """Return a persona's tests in order. Raises ScriptError if a row was damaged."""
    rows = PersonaTest.objects.filter(persona=persona_id)
    return script.tests_of([{"name": row.name, "turns": row.turns} for row in rows])


@transaction.atomic
def save(persona: Persona, tests: Sequence[Test], actor: Actor) -> None:
    """Replace a persona's tests by these. Tests that stay the same keep their row."""
    audit_log.lock_head()
    Persona.objects.select_for_update().get(pk=persona.pk)
    known = {row.name: row for row in PersonaTest.objects.filter(persona=persona.pk)}
    changed = []
    for position, test in enumerate(tests):
        turns = test.as_data()["turns"]
        row = known.pop(test.name, None)
        if row is None:
            PersonaTest.objects.create(persona=persona, name=test.name, position=position, turns=turns)
            changed.append([None, test.name])
        elif row.turns != turns:
            PersonaTest.objects.filter(pk=row.pk).update(position=position, turns=turns, saved_at=timezone.now())
            changed.append([test.name, test.name])
        elif row.position != position:
            PersonaTest.objects.filter(pk=row.pk).update(position=position)
    changed += [[name, None] for name in known]
    PersonaTest.objects.filter(pk__in=[row.pk for row in known.values()]).delete()
    if changed:
        before, after = (", ".join(filter(None, names)) for names in zip(*changed, strict=True))
        change_log.record(actor, AuditEntry.Kind.TESTS_CHANGED, persona, {"tests": [before, after]})
