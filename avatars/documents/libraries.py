"""Libraries: created and renamed by staff."""

from __future__ import annotations

from django.db import transaction

from avatars.models import Library
from avatars.models.stated import LIBRARY
from heygen_portal.trail import audit_log, change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry

COLUMNS = change_log.editable_columns(Library)


@transaction.atomic
def save(library: Library, actor: Actor) -> None:
    """Store a new library, or what staff changed of one."""
    audit_log.lock_head()
    before = Library.objects.select_for_update().filter(pk=library.pk).first()
    library.save(update_fields=COLUMNS if before else None)
    stated = statements.changed(LIBRARY, before, library)
    changes = change_log.diff(before, library, COLUMNS)
    change_log.record(actor, AuditEntry.Kind.LIBRARY_CHANGED, library, changes, stated)
