"""Publishing from a page: its user reads what came of it."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _

from avatars.models import Persona, PersonaVersion
from avatars.personas import publishing
from heygen_portal.providers.contract.provider import CredentialRefused
from heygen_portal.trail.change_log import Actor


def publish(
    request: HttpRequest, persona: Persona, version: PersonaVersion | None = None, *, despite_tests: str = ""
) -> str:
    """Publish a persona, and show a message. Return the confirmation, or "" if it was not published."""
    account = (version or persona).avatar.account
    try:
        away = publishing.refresh_and_publish(persona, version, actor=Actor.of(request), despite_tests=despite_tests)
    except CredentialRefused as exc:
        words = _("%(account)s: the provider does not accept the key (%(detail)s).")
        messages.error(request, words % {"account": account, "detail": exc})
        return ""
    except ValidationError as exc:
        messages.error(request, f"{persona}: {' '.join(exc.messages)}")
        return ""
    if away:
        words = _("%(account)s could not be reached (%(detail)s). Published with the data known so far.")
        messages.warning(request, words % {"account": account, "detail": away})
    confirmation = _("%(persona)s is published as version %(version)d.") % {
        "persona": persona,
        "version": persona.version,
    }
    messages.success(request, confirmation)
    return confirmation
