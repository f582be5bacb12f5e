"""Change the organisation's settings, on record."""

from __future__ import annotations

from django.db import transaction

from heygen_portal.models import Organisation
from heygen_portal.models.organisation import ORGANISATION
from heygen_portal.trail import change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry


@transaction.atomic
def store(organisation: Organisation, actor: Actor) -> None:
    """Store changed settings with an audit entry.

    A change of the notice that users accept makes a new version of it.
    """
    stored = Organisation.objects.select_for_update().get(pk=organisation.pk)
    is_notice_changed = any(
        getattr(stored, name) != getattr(organisation, name) for name in Organisation.NOTICE_COLUMNS
    )
    organisation.consent_version = stored.consent_version + is_notice_changed
    organisation.save()
    changes = change_log.diff(stored, organisation, [*change_log.editable_columns(Organisation), "consent_version"])
    stated = statements.changed(ORGANISATION, stored, organisation)
    change_log.record(actor, AuditEntry.Kind.ORGANISATION_CHANGED, organisation, changes, stated)
