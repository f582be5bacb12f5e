"""Mail about incidents, to staff who run the portal."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from heygen_portal.models import holders_of
from heygen_portal.people.mail import outgoing
from heygen_portal.people.preferences import languages, time_zones
from heygen_portal.permissions import Permission
from sessions.health import texts
from sessions.health.readings import Cause, Reading
from sessions.models import Check, Incident

logger = logging.getLogger(__name__)

MAX_FAILURES = 3  # in a row, from the first recipient on: the mail server is away


def send(incident: Incident) -> bool:
    """Send the opening of an incident, or its end if it is over, to each recipient in their language.

    Return whether it is reported. It is also reported, in the log, if there is no mail server or no recipient.
    """
    recipients = [user for user in holders_of(_permission(incident)) if user.is_active and user.email]
    if not (outgoing.is_set_up() and recipients):
        why = "no user who may see incidents has a mail address" if outgoing.is_set_up() else "EMAIL_HOST is not set"
        logger.warning("incident %s (%s) was not mailed: %s", incident.pk, incident.check_name, why)
        return True
    sent = 0
    for number, user in enumerate(recipients):
        if outgoing.send(user.email, *_letter(incident, user)):
            sent += 1
        else:
            logger.warning("incident %s could not be mailed to user %s", incident.pk, user.pk)
            if not sent and number + 1 >= MAX_FAILURES:
                break
    return sent > 0


def _permission(incident: Incident) -> str:
    """Return who is told: those who run the portal, of the record those who may see its checks."""
    is_record = incident.check_name == Check.INTEGRITY_CHECK
    return Permission.VIEW_INTEGRITY_CHECK if is_record else Permission.VIEW_INCIDENT


def problem(incident: Incident) -> str:
    """Return what was wrong, in the active language."""
    return texts.problem(Check(incident.check_name), _reading(incident))


def _reading(incident: Incident) -> Reading:
    return Reading(
        incident.age,
        timedelta(0),
        Cause(incident.cause),
        account_id=incident.account_number,
        faults=incident.faults,
    )


def _letter(incident: Incident, user: User) -> tuple[str, str]:
    check, reading, zone = Check(incident.check_name), _reading(incident), time_zones.of(user.pk)
    advice = texts.advice(check, Cause(incident.cause))
    path = texts.page_path(check, reading) if advice.page and user.has_perm(advice.permission) else ""
    with translation.override(languages.of(user)), timezone.override(zone):
        what = problem(incident)
        context = {
            "incident": incident,
            "problem": what,
            "advice": advice,
            "zone": time_zones.label(zone),
            "page": outgoing.link(path or reverse("admin:index")),
        }
        subject = _("Over: %(problem)s") % {"problem": what} if incident.over_at else what
        body = render_to_string("sessions/incident_letter.txt", context).strip()
    return outgoing.subject(subject), body
