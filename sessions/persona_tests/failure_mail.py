"""Mail to those who publish personas: tests that ran by themselves fail or did not end, and did not before."""

from __future__ import annotations

import logging
from functools import partial

from django.db import transaction
from django.urls import reverse
from django.utils import translation
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from avatars.models import PersonaTestRun
from heygen_portal.models import holders_of
from heygen_portal.people.mail import outgoing
from heygen_portal.people.preferences import languages
from heygen_portal.permissions import Permission
from heygen_portal.runtime.text import bidi

logger = logging.getLogger(__name__)
State = PersonaTestRun.State
BAD = (State.FAILED, State.CAPPED, State.TOO_SLOW, State.LOST)


def send_if_new(run: PersonaTestRun) -> None:
    """Mail once the transaction is committed, if staff did not watch the run and the last one ended otherwise."""
    if run.state not in BAD or run.trigger == PersonaTestRun.Trigger.STAFF:
        return
    earlier = PersonaTestRun.objects.filter(
        version__persona=run.version.persona_id, state__in=(State.PASSED, *BAD), asked_at__lt=run.asked_at
    ).exclude(trigger=PersonaTestRun.Trigger.STAFF)
    last = earlier.first()
    if last is None or last.state != run.state:
        transaction.on_commit(partial(_send, run), robust=True)


def _send(run: PersonaTestRun) -> None:
    holders = [user for user in holders_of(Permission.PUBLISH_PERSONA) if user.is_active and user.email]
    if not (outgoing.is_set_up() and holders):
        logger.warning("the tests of persona %s fail, and nobody could be mailed", run.version.persona_id)
        return
    failed = [result["name"] for result in run.results if any(any(turn["problems"]) for turn in result["turns"])]
    page = outgoing.link(reverse("admin:avatars_persona_tests", args=[run.version.persona_id]))
    for user in holders:
        with translation.override(languages.of(user)):
            name = bidi.isolated(str(run.version.persona))
            if run.state == State.FAILED:
                title = _("Tests of %(name)s fail")
                lines = [_("These tests no longer pass:"), *(f"- {each}" for each in failed)]
            else:
                title, lines = _("Tests of %(name)s did not end"), [f"{capfirst(run.get_state_display())}."]
            subject = outgoing.subject(title % {"name": name})
        outgoing.send(user.email, subject, "\n".join([*lines, "", page]))
