"""Celery tasks of documents."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from celery import shared_task
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from avatars.documents import intake, unanswered
from avatars.models import DocumentVersion
from heygen_portal.runtime.jobs.scheduler import PortalTask

# A message that no worker took for so long may be lost. If it is not, it costs a place in the queue.
RESEND_AFTER = timedelta(minutes=2)
OFFERED_AGAIN = 20
State = DocumentVersion.State


@shared_task(name="avatars.tasks.read_document")
def read_document(version_id: int) -> None:
    """Read one file."""
    intake.read(version_id)


def _is_anything_under_way() -> bool:
    return DocumentVersion.objects.filter(state__in=intake.UNDER_WAY).exists()


@shared_task(name="avatars.tasks.maintain_documents", base=PortalTask, has_work=staticmethod(_is_anything_under_way))
def maintain_documents() -> None:
    """Offer waiting files to the workers again, and give up on those whose worker died."""
    now = timezone.now()
    intake.fail_lost(now)
    for version_id in _to_offer_again(now):
        read_document.delay(version_id)


def _to_offer_again(now: datetime) -> list[int]:
    """Return the first of the waiting files, if their messages may be lost. The others follow once these are read."""
    first = DocumentVersion.objects.filter(pk__in=intake.waiting(now)[:OFFERED_AGAIN], state=State.WAITING)
    lost = first.filter(moved_at__lt=now - RESEND_AFTER)
    keys = list(lost.order_by("pk").values_list("pk", flat=True))
    DocumentVersion.objects.filter(pk__in=keys, state=State.WAITING).update(moved_at=now)
    return keys


@shared_task(name="avatars.tasks.forget_questions")
def forget_questions() -> None:
    """Delete old unanswered questions. Scheduled nightly."""
    unanswered.forget(timezone.now())


def read_soon(version: DocumentVersion) -> None:
    """Let a worker read a file once the transaction is committed."""
    transaction.on_commit(partial(_send, version.pk))


def _send(version_id: int) -> None:
    with suppress(OperationalError):  # `maintain_documents` sends it
        read_document.delay(version_id)
