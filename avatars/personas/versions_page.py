"""The page with the versions of a persona, where staff can restore one."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from avatars.models import Persona, PersonaCheck
from avatars.personas import versions

VERSIONS_PER_PAGE = 20
RELATED_ROWS = ("avatar", "voice", "knowledge_base", "saved_by")


def page(request: HttpRequest, persona: Persona, context: dict[str, Any]) -> HttpResponse:
    """Show versions, newest first, each with its changes. `?page` selects the page."""
    rows = persona.versions.select_related(*RELATED_ROWS)
    page_of_rows = Paginator(rows, VERSIONS_PER_PAGE).get_page(request.GET.get("page"))
    found = list(page_of_rows)
    before = rows.filter(number__lt=found[-1].number).first() if found else None
    pairs = zip(found, [*found, before][1:], strict=True)
    shown = {
        "title": _("Versions of %(name)s") % {"name": persona},
        "persona": persona,
        "rows": [(row, versions.differences(last, row) if last else None) for row, last in pairs],
        "newest": page_of_rows.number == 1 and found and found[0].number,
        "is_published": persona.status == Persona.Status.PUBLISHED,
        "page": page_of_rows,
    }
    return render(request, "admin/avatars/versions.html", context | shown)


def describe_check(check: PersonaCheck) -> str:
    """Return the time and result of a check."""
    at = formats.date_format(timezone.localtime(check.at), "DATETIME_FORMAT")
    words = _("%(at)s, version %(version)d: %(outcome)s")
    sentence = words % {"at": at, "version": check.version, "outcome": check.get_outcome_display()}
    return f"{sentence} ({check.detail})" if check.detail else sentence
