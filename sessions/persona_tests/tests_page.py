"""The page with a persona's tests: edit them, run them, and read the reports."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from avatars.models import Persona, PersonaTestRun
from avatars.personas import publish_button, publishing, versions
from heygen_portal.trail.change_log import Actor
from sessions.persona_tests import report, runs, script, store
from sessions.persona_tests.script import ScriptError

RUNS_SHOWN = 20
MIN_REASON, MAX_REASON = 10, 500
EXAMPLE = """\
tests:
  - name: …
    turns:
      - say: …
        expect:
          - contains: …
"""


def page(request: HttpRequest, persona: Persona, context: dict[str, Any]) -> HttpResponse:
    """Show tests, runs and the report of `?run`. With `?export`, return the tests as a file."""
    if "export" in request.GET:
        return _export(persona)
    text = None
    if request.method == "POST":
        text = _carry_out(request, persona, context)
        if text is None:
            return redirect(request.path)
    version = versions.newest(persona)
    rows = PersonaTestRun.objects.filter(version__persona=persona).select_related("version", "asked_by")
    latest = list(rows[:RUNS_SHOWN])
    chosen = request.GET.get("run", "")
    run = rows.filter(pk=int(chosen)).first() if chosen.isdecimal() and len(chosen) < 19 else None
    run = run or (latest[0] if latest else None)
    shown = {
        "title": _("Tests of %(name)s") % {"name": persona},
        "persona": persona,
        "version": version,
        "has_own_brain": bool(version and version.has_own_brain),
        "test_count": persona.tests.count(),
        "text": text if text is not None else _as_yaml(persona) or EXAMPLE,
        "runs": latest,
        "run": run,
        "reports": report.of(run) if run else [],
        "is_under_way": any(each.is_under_way for each in latest),
        "publish_problem": publishing.test_problem(persona, version) if version else "",
        "max_reason": MAX_REASON,
        "min_reason": MIN_REASON,
    }
    return render(request, "admin/avatars/persona_tests.html", context | shown)


def _carry_out(request: HttpRequest, persona: Persona, context: dict[str, Any]) -> str | None:
    """Do what a form asks for. Return the text of tests that could not be saved, to be shown again.

    Raises PermissionDenied.
    """
    posted = request.POST
    if "publish" in posted:
        _require(context["may_publish"])
        _publish(request, persona, " ".join(posted.get("reason", "").split()))
        return None
    _require(context["may_change"])
    if "run" in posted:
        _run(request, persona)
    elif "save" in posted:
        return _save(request, persona, posted.get("tests", ""))
    elif "import" in posted and (file := request.FILES.get("file")):
        content = file.read(script.MAX_BYTES + 1)
        return _save(request, persona, content.decode("utf-8", "replace"))
    return None


def _require(is_allowed: bool) -> None:
    if not is_allowed:
        raise PermissionDenied


def _save(request: HttpRequest, persona: Persona, text: str) -> str | None:
    try:
        store.save(persona, script.read(text.replace("\r\n", "\n")), Actor.of(request))
    except ScriptError as exc:
        messages.error(request, str(exc))
        return text
    messages.success(request, _("The tests are saved."))
    return None


def _run(request: HttpRequest, persona: Persona) -> None:
    version = versions.newest(persona)
    try:
        if version is None:
            raise runs.NothingToTest
        runs.begin(version, asked_by=request.user.pk)
    except runs.NothingToTest:
        messages.error(request, _("There is nothing to test."))
    else:
        messages.info(request, _("The worker runs the tests."))


def _publish(request: HttpRequest, persona: Persona, reason: str) -> None:
    if not MIN_REASON <= len(reason) <= MAX_REASON:
        messages.error(request, _("Write a reason of at least %(count)d characters.") % {"count": MIN_REASON})
        return
    publish_button.publish(request, persona, despite_tests=reason)


def _as_yaml(persona: Persona) -> str:
    try:
        tests = store.tests_of(persona.pk)
    except ScriptError:  # changed by SQL
        return ""
    return script.write(tests) if tests else ""


def _export(persona: Persona) -> HttpResponse:
    response = HttpResponse(_as_yaml(persona) or script.write([]), content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{persona.slug}-tests.yaml"'
    return response
