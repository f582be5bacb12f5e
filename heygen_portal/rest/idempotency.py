"""Requests that cost money run once for each `Idempotency-Key`, however often they are sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.fernet import InvalidToken
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from encrypted_fields.fields import EncryptedTextField

from heygen_portal.models import IdempotentRequest
from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.rest.problems import Problem

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
MAX_NAME_LENGTH = 255
KEPT_FOR = timedelta(days=1)
# No request takes so long. One that is still unanswered belonged to a process that died.
ANSWER_TIMEOUT = timedelta(minutes=2)
ROWS_PER_DELETE = 1_000
_ENCRYPTION = EncryptedTextField()


@dataclass(frozen=True)
class Attempt:
    """The first request with its name. Exactly one of `finish` and `forget` follows."""

    row_id: int

    def finish(self, answer: HttpResponse) -> None:
        """Store the answer for the next day."""
        sealed = _ENCRYPTION.f.encrypt(answer.content).decode()
        IdempotentRequest.objects.filter(pk=self.row_id).update(status=answer.status_code, answer=sealed)

    def forget(self) -> None:
        """Let the request be sent again: it was refused, and changed nothing."""
        IdempotentRequest.objects.filter(pk=self.row_id).delete()


def begin(request: HttpRequest, caller: Caller) -> Attempt | HttpResponse | None:
    """Return the first attempt, the stored answer to a repeated one, or None without the header.

    Of two requests at once, the second one is refused. Raises Problem.
    """
    name = request.headers.get(HEADER)
    if name is None:
        return None
    if not (0 < len(name) <= MAX_NAME_LENGTH and name.isascii() and name.isprintable()):
        words = _("An Idempotency-Key has 1 to 255 printable ASCII characters.")
        raise Problem(422, "invalid_idempotency_key", words)
    fingerprint = _fingerprint(request, caller)
    try:
        with transaction.atomic():
            row = IdempotentRequest.objects.create(owner_id=caller.user_id, name=name, fingerprint=fingerprint)
        return Attempt(row.pk)
    except IntegrityError:
        return _repeated(caller, name, fingerprint)


def _repeated(caller: Caller, name: str, fingerprint: str) -> Attempt | HttpResponse:
    row = IdempotentRequest.objects.filter(owner=caller.user_id, name=name).first()
    if row is None:  # refused meanwhile
        raise _in_progress()
    now = timezone.now()
    if row.created_at + KEPT_FOR <= now:
        fresh = {"fingerprint": fingerprint, "created_at": now, "status": None, "answer": ""}
        if IdempotentRequest.objects.filter(pk=row.pk, created_at=row.created_at).update(**fresh):
            return Attempt(row.pk)
        raise _in_progress()
    if row.fingerprint != fingerprint:
        words = _("This Idempotency-Key belongs to another request.")
        raise Problem(422, "idempotency_key_reused", words)
    if row.status is None:
        if row.created_at + ANSWER_TIMEOUT > now:
            raise _in_progress()
        words = _(
            "The first request with this Idempotency-Key was interrupted. Check what it did before you repeat it."
        )
        raise Problem(409, "idempotent_request_lost", words)
    return _stored_answer(row)


def _stored_answer(row: IdempotentRequest) -> HttpResponse:
    try:
        content = _ENCRYPTION.f.decrypt(row.answer.encode())
    except InvalidToken as exc:  # its key was removed, or the row was changed
        words = _("The first answer to this Idempotency-Key can no longer be read.")
        raise Problem(409, "idempotent_request_lost", words) from exc
    headers = {REPLAYED_HEADER: "true", "Cache-Control": "no-store"}
    return HttpResponse(content, status=row.status, content_type="application/json; charset=utf-8", headers=headers)


def delete_old(now: datetime) -> None:
    """Delete answers that are no longer repeated."""
    old = IdempotentRequest.objects.filter(created_at__lte=now - KEPT_FOR).order_by("pk")
    while ids := list(old.values_list("pk", flat=True)[:ROWS_PER_DELETE]):
        IdempotentRequest.objects.filter(pk__in=ids).delete()


def _in_progress() -> Problem:
    words = _("The first request with this Idempotency-Key is still being processed.")
    return Problem(409, "idempotent_request_in_progress", words, headers={"Retry-After": "1"})


def _fingerprint(request: HttpRequest, caller: Caller) -> str:
    # A test key must not get the answer that another key of its owner got: access to a room that costs money.
    kind = "test" if caller.is_test else ""
    about = f"{request.method} {request.get_full_path()}\n{kind}".encode()
    return hashlib.sha256(about + request.body).hexdigest()
