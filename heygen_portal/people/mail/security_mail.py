"""Mail about changes of password, second factor, name or address.

It lets users notice a thief.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Final, Literal

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from heygen_portal.people.mail import outgoing
from heygen_portal.people.preferences import languages, time_zones
from heygen_portal.runtime import client_address
from heygen_portal.runtime.text import bidi

logger = logging.getLogger(__name__)

Change = Literal["password", "factor_on", "factor_off", "codes", "username", "address", "closed"]
SUBJECTS: Final[dict[Change, str | Promise]] = {
    "password": _("Your password was changed"),
    "factor_on": _("A second factor was set up"),
    "factor_off": _("Your second factor was removed"),
    "codes": _("New recovery codes were created"),
    "username": _("Your user name was changed"),
    "address": _("Your e-mail address was changed"),
    "closed": _("Your account was closed"),
}


def send(request: HttpRequest, user: User, change: Change, *, addresses: Iterable[str] = ()) -> None:
    """Send the message after commit.

    Does nothing without a mail server or an address.

    `addresses` replaces the user's current address, for example to tell the old address about a new one.
    """
    to = sorted(filter(None, addresses or [user.email]))
    if not (outgoing.is_set_up() and to):
        return
    zone = time_zones.of(user.pk)
    by_id = request.user.pk or user.pk  # signed out: following a password reset link
    context = {
        "change": change,
        "is_own": by_id == user.pk,
        "username": bidi.isolated(user.get_username()),
        "at": timezone.now(),
        "zone": time_zones.label(zone),
        "address": client_address.of(request),
        "page": request.build_absolute_uri(reverse("mfa_index")),
    }
    with translation.override(languages.for_change_by(user, by_id)), timezone.override(zone):
        subject = outgoing.subject(str(SUBJECTS[change]))
        body = render_to_string("people/security_letter.txt", context).strip()
    for address in to:
        transaction.on_commit(partial(_send, user.pk, address, subject, body), robust=True)


def _send(user_id: int, to: str, subject: str, body: str) -> None:
    if not outgoing.send(to, subject, body):
        logger.warning("security mail to user %s was not sent: the mail server did not accept it", user_id)
