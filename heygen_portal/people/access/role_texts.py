"""What a role's permissions allow, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from heygen_portal import permissions
from heygen_portal.people.access import roles

ABILITIES: tuple[tuple[tuple[str, ...], Promise], ...] = (
    (roles.START_SESSIONS, _("Talk with the personas that are published")),
    (roles.SEE_CATALOGUE, _("See personas, avatars, voices, knowledge bases and recorded videos")),
    (roles.EDIT_PERSONAS, _("Create, try, publish and delete personas")),
    (roles.EDIT_KNOWLEDGE, _("Write knowledge bases, manage documents")),
    (roles.CREATE_VIDEOS, _("Order recorded videos")),
    (roles.SEE_SESSIONS, _("See all sessions and their events")),
    (roles.SEE_COSTS, _("See costs")),
    (roles.SEE_QUEUE, _("See the queue")),
    (roles.STOP_SESSIONS, _("Stop any session")),
    (roles.OBSERVE_SESSIONS, _("Observe live sessions")),
    (roles.ANSWER_MESSAGES, _("Read messages to the team and mark them as handled")),
    (roles.SEE_HEALTH, _("See the health of the portal")),
    (roles.SEE_CHECKS, _("See integrity checks")),
    (roles.SEE_RETENTION, _("See legal holds and erasures")),
    (roles.SET_LEGAL_HOLDS, _("Set and release legal holds")),
    (roles.ERASE_SPEECH, _("Erase what was said")),
    (roles.READ_TRANSCRIPTS, _("Read transcripts, for a recorded reason")),
    (roles.SEE_AUDIT, _("See the audit log")),
    (roles.EXPORT_SESSIONS, _("Export sessions and transcripts")),
    (roles.MANAGE_ACCOUNTS, _("Manage provider accounts and their keys")),
    (roles.MANAGE_MODEL_SERVICES, _("Manage model services and their keys")),
    (roles.MANAGE_TOOLS, _("Manage tools and their secrets")),
    (roles.MANAGE_USERS, _("Manage users, their roles and invitations")),
    (roles.MANAGE_QUOTAS, _("Manage quotas")),
    (roles.MANAGE_API_KEYS, _("Manage API keys")),
    (roles.MANAGE_ORGANISATION, _("Change the organisation’s settings")),
    (roles.MANAGE_WEBHOOKS, _("Manage webhooks and their secrets")),
)


def abilities(granted: Collection[str]) -> Iterator[str]:
    """Yield what these permissions allow, such as "Stop any session".

    `granted` are names like `avatar_sessions.stop_streamingsession`. One that is part of no complete ability follows
    with its own label.
    """
    described: set[str] = set()
    for needed, words in ABILITIES:
        if set(needed) <= set(granted):
            described |= set(needed)
            yield str(words)
    yield from sorted(permissions.label(name.partition(".")[2]) for name in granted if name not in described)
