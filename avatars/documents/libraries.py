"""Libraries: created and renamed by staff."""

from __future__ import annotations

from django.db import transaction

from avatars.documents import index
from avatars.models import Chunk, Library
from avatars.models.stated import LIBRARY
from heygen_portal.trail import audit_log, change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry

CHUNKS_PER_STEP = 500
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


def forget_superseded(library_id: int, oldest: int) -> int:
    """Remove passages from the index that only versions before `oldest` found; return how many.

    Their text stays, because answers cite it.
    """
    of_library = Chunk.objects.filter(version__document__library=library_id, version__until_version__lte=oldest)
    count = 0
    while keys := list(of_library.exclude(words="").values_list("pk", flat=True)[:CHUNKS_PER_STEP]):
        with transaction.atomic():
            index.remove(keys)
            count += Chunk.objects.filter(pk__in=keys).update(words="")
    return count
