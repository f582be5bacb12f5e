"""Speech keys as a store of encrypted values for `rotate_keys`."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidTag
from django.db.models import QuerySet

from heygen_portal.trail import signing
from heygen_portal.trail.key_rotation import Unreadable
from sessions.models import SpeechKey, speech_encryption


class SpeechKeyStore:
    """The key of each session, wrapped with the portal's key.

    Texts are not re-encrypted.
    """

    name = "keys of speech"

    def rows(self) -> QuerySet[Any]:
        return SpeechKey.objects.filter(erased_at=None)

    def reencrypt(self, row: SpeechKey) -> bytes | None:
        wrapped = bytes(row.wrapped)
        if speech_encryption.key_id_of(wrapped) == signing.key_id():
            return None
        try:
            return speech_encryption.rewrap(wrapped, row.session_id)
        except InvalidTag:
            raise Unreadable from None

    def store(self, row: SpeechKey, value: bytes) -> None:
        SpeechKey.objects.filter(pk=row.pk, erased_at=None).update(wrapped=value)
