"""Passages of superseded documents, which no running session can find any more."""

from __future__ import annotations

import logging

from avatars.documents import libraries
from avatars.models import Library
from heygen_portal.runtime.jobs import each_row
from sessions.models import Status, StreamingSession

logger = logging.getLogger(__name__)


def forget() -> None:
    """Remove them from the index. A session that begins now searches the newest version of its library."""
    oldest = dict(Library.objects.values_list("pk", "version"))
    for session in StreamingSession.objects.exclude(status=Status.ENDED).only("persona_settings").iterator():
        with each_row.log_failure(f"session {session.pk}: its library cannot be read"):
            settings = session.started_with
            if settings.library_id in oldest:
                oldest[settings.library_id] = min(oldest[settings.library_id], settings.library_version)
    for library_id, version in oldest.items():
        with each_row.log_failure(f"library {library_id}: superseded passages could not be removed"):
            if count := libraries.forget_superseded(library_id, version):
                logger.info("library %s: %s superseded passages were removed from the index", library_id, count)
