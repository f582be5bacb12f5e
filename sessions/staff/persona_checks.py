"""Check every night whether each published persona still works.

Hide those that do not, and notify staff.

The provider's catalogue is synced first, which is free. If sessions are free, or if the account's setting asks for it,
each persona is then tried with the shortest possible session: created, brought into its room, and stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import chain
from smtplib import SMTPException

from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from avatars.catalogue.sync import refresh_catalogue
from avatars.models import Persona, PersonaCheck, ProviderAccount
from avatars.models.stated import PERSONA
from avatars.personas import publishing
from heygen_portal.branding.current import current
from heygen_portal.models import EventType
from heygen_portal.people.mail import holders, outgoing
from heygen_portal.permissions import Permission
from heygen_portal.providers.contract.provider import LimitReached, ProviderError, RoomAccess
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import each_row
from heygen_portal.runtime.text import bidi
from heygen_portal.trail import audit_log, change_log, statements
from heygen_portal.trail.change_log import SERVER, Changes
from heygen_portal.trail.models import AuditEntry
from sessions import errors
from sessions.actions import provision, stop
from sessions.capacity import slots
from sessions.capacity.slots import StartRequest
from sessions.lifecycle import end_evidence
from sessions.models import RUNNING, EndReason, Purpose, StreamingSession

logger = logging.getLogger(__name__)

Outcome = PersonaCheck.Outcome
Result = tuple[Outcome, str]
# The user that owns the checks' sessions. It cannot sign in.
CHECK_USERNAME = "nightly-check"
# Holders of this permission are notified when a persona is hidden.
PUBLISH = Permission.PUBLISH_PERSONA
# Outcome by end reason. Any other end reason means that the provider was not reached.
OUTCOME_BY_END_REASON: dict[str, Outcome] = {
    EndReason.PROVIDER_REFUSED: Outcome.REFUSED,
    EndReason.PROVIDER_ENDED: Outcome.REFUSED,
    EndReason.SPEND_CAP: Outcome.SKIPPED,
}
BROKEN = (Outcome.UNFIT, Outcome.REFUSED)
WORKING = (Outcome.PASSED, Outcome.FITS)


async def check_published_personas() -> None:
    """Check all published personas one by one.

    Hide the broken ones and show those that work again.
    """
    hidden: list[PersonaCheck] = []
    for account in await in_thread(_accounts)():
        with each_row.log_failure(f"account {account.pk}: its personas could not be checked"):
            hidden += await _check_account(account)
    if hidden:
        await in_thread(_notify_publishers)(hidden)


async def _check_account(account: ProviderAccount) -> list[PersonaCheck]:
    """Check an account's published personas. Return the checks that hid one."""
    away = await _refresh_catalogue(account)
    hidden: list[PersonaCheck] = []
    for persona in await in_thread(_published)(account):
        with each_row.log_failure(f"persona {persona.pk} could not be checked"):
            result = (Outcome.AWAY, away) if away else await _check(persona)
            check, is_newly_hidden = await in_thread(record_check)(persona, *result)
            hidden += [check] if is_newly_hidden else []
    return hidden


def record_check(persona: Persona, outcome: Outcome, detail: str = "") -> tuple[PersonaCheck, bool]:
    """Store a check's outcome and hide or show the persona.

    Return the check and whether it hid the persona.
    """
    with transaction.atomic():
        check = PersonaCheck.objects.create(
            persona=persona, version=persona.version, outcome=outcome, detail=detail[:300]
        )
        same = Persona.objects.filter(pk=persona.pk, version=persona.version)  # not one published in the meantime
        is_shown = outcome in WORKING and bool(same.exclude(hidden_at=None).update(hidden_at=None))
        is_hidden = outcome in BROKEN and bool(same.filter(hidden_at=None).update(hidden_at=check.at))
        if is_shown or is_hidden:
            stated = statements.state(PERSONA, same.get(), "hidden_at")
            changes: Changes = {"is_hidden": [is_shown, is_hidden]}
            change_log.record(SERVER, AuditEntry.Kind.PERSONA_CHANGED, persona, changes, stated)
            event = EventType.PERSONA_HIDDEN if is_hidden else EventType.PERSONA_SHOWN
            publishing.tell_webhooks(event, persona, outcome=str(outcome))
    return check, is_hidden


def _accounts() -> list[ProviderAccount]:
    rows = ProviderAccount.objects.filter(avatar__persona__status=Persona.Status.PUBLISHED)
    return each_row.readable(rows.distinct())


def _published(account: ProviderAccount) -> list[Persona]:
    rows = Persona.objects.filter(status=Persona.Status.PUBLISHED, avatar__account=account)
    return each_row.readable(rows.select_related("avatar__account", "voice", "knowledge_base"))


async def _refresh_catalogue(account: ProviderAccount) -> str:
    """Sync the provider's catalogue. Return the error, or an empty string on success."""
    try:
        await refresh_catalogue(account)
    except ProviderError as exc:
        return stop.error_for_log(exc)
    return ""


async def _check(persona: Persona) -> Result:
    if await in_thread(lambda: bool(publishing.problems(persona)))():
        return Outcome.UNFIT, ""
    return await _try_session(persona) if persona.avatar.account.is_tried_nightly else (Outcome.FITS, "")


async def _try_session(persona: Persona) -> Result:
    """Create a session as a user would, and stop it once the avatar has started."""
    try:
        session = await in_thread(_open)(persona.slug)
    except errors.SessionError as exc:  # no free slot, or the spending cap is reached: not the persona's fault
        return Outcome.SKIPPED, exc.code
    try:
        await provision.create_and_start(session, _leave_room_empty)
    except LimitReached as exc:
        await stop.end_unopened(session, EndReason.PROVIDER_REFUSED, end_evidence.provider_failed(exc))
        return Outcome.SKIPPED, stop.error_for_log(exc)
    now = await in_thread(StreamingSession.objects.select_related("account").get)(pk=session.pk)
    if now.status in RUNNING:
        await stop.stop(now, EndReason.STAFF_STOPPED, end_evidence.checked())
        return Outcome.PASSED, ""
    return OUTCOME_BY_END_REASON.get(now.end_reason, Outcome.AWAY), _summary(now.end_evidence)


async def _leave_room_empty(room: RoomAccess) -> None:
    """Ignore the room, because no browser joins it."""


def _open(slug: str) -> StreamingSession:
    return slots.open_session(_checker().pk, slug, StartRequest(purpose=Purpose.CHECK))


def _checker() -> User:
    """Return the user of checks, who cannot sign in. The first check creates it."""
    with transaction.atomic():
        checker, is_new = User.objects.get_or_create(username=CHECK_USERNAME, defaults={"is_active": False})
        if is_new:
            audit_log.record_access_change(None, checker, {})
    return checker


def _summary(evidence: end_evidence.Evidence) -> str:
    """Return the untranslated parts of the provider's answer."""
    details = [str(evidence[name]) for name in ("error", "what", "http", "answer") if evidence.get(name)]
    return ", ".join(details)


def _notify_publishers(hidden: Iterable[PersonaCheck]) -> None:
    addresses = holders.addresses(PUBLISH)
    with translation.override(current().default_language):
        lines = [_mail_line(check) for check in hidden]
        logger.warning("hidden, as they no longer work: %s", "; ".join(lines))
        if not addresses:
            return
        subject = _("Personas that no longer work were hidden")
        then = _("They stay hidden until a check succeeds or they are published again.")
        try:
            send_mail(outgoing.subject(subject), "\n".join([*lines, "", then, ""]), outgoing.sender(), addresses)
        except (SMTPException, OSError):
            logger.exception("who publishes personas could not be notified by mail; the admin shows the result")


def _mail_line(check: PersonaCheck) -> str:
    why = chain.from_iterable(publishing.problems(check.persona).values())
    reasons = " ".join(why) or check.detail
    return f"{bidi.isolated(str(check.persona))}: {check.get_outcome_display()}" + (f" ({reasons})" if reasons else "")
