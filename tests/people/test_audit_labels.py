"""The audit log shows words in place of codes."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from heygen_portal.trail import audit_labels
from heygen_portal.trail.models import AuditEntry
from tests.support.factories import PersonaFactory

Kind = AuditEntry.Kind


@pytest.mark.parametrize(
    ("kind", "data", "shown"),
    [
        (Kind.EXPORTED, {"filters": {"status__exact": "ended"}}, "filtros: estado: terminada"),
        (
            Kind.EXPORTED,
            {"filters": {"created_at__gte": "2026-01-02", "q": "ana"}},
            "filtros: creada ≥ 2026-01-02; búsqueda: ana",
        ),
        (Kind.ACCESS_CHANGED, {"permissions": [[], ["stop_streamingsession"]]}, "– → Sesiones: Puede detener"),
        (Kind.KNOWLEDGE_EXPORTED, {"bases": {"3": "Recepción"}}, "bases de conocimiento: Recepción"),
        (Kind.CATALOGUE_SYNCED, {"what": "voice", "count": 2}, "contenido: voces"),
        (Kind.INVITATION_REVOKED, {"changed": ["email"]}, "columnas cambiadas en la base de datos: "),
        (Kind.PERSONAL_DATA, {"format": "json", "person": 5}, "formato: json"),
        (Kind.EXPORTED, {"filters": [5]}, "filtros: 5"),
        (Kind.ACCESS_CHANGED, {"permissions": [[[1]], [{}]]}, "dañado: [1]"),
    ],
)
@pytest.mark.django_db
def test_an_entry_is_shown_in_words(kind: Kind, data: dict[str, Any], shown: str) -> None:
    with translation.override("es"):
        assert shown in audit_labels.describe(AuditEntry(kind=kind, data=data))


@pytest.mark.django_db
def test_a_filter_names_its_persona() -> None:
    persona = PersonaFactory.create()
    with translation.override("en"):
        assert audit_labels.filters_text({"persona__id__exact": str(persona.pk)}) == f"persona: {persona.name}"
