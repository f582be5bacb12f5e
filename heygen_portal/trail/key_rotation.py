"""Re-encryption with the current keys, in bounded batches.

Signatures are never made again.

A value encrypted with a retired key stays readable until it is rotated, so an interrupted run can simply be
repeated. `sessions.speech.keys` adds the keys of speech.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.db import models, transaction
from django.db.models import F, QuerySet, TextField, Value
from django.db.models.functions import Cast
from encrypted_fields.fields import EncryptedFieldMixin, EncryptedTextField

BATCH_ROWS = 500
"""Rows per transaction."""


class Unreadable(Exception):
    """No key in the settings decrypts the value."""


@dataclass
class Progress:
    """Counts of a store's encrypted values.

    A dry run counts values to rotate as `left`.
    """

    current: int = 0
    rotated: int = 0
    left: int = 0
    unreadable: int = 0


class Store(Protocol):
    """Rows with encrypted values."""

    @property
    def name(self) -> str: ...
    def rows(self) -> QuerySet[Any]:
        """Return the rows that hold an encrypted value."""

    def reencrypt(self, row: Any) -> Any:
        """Return the value encrypted with the current key, or None if it already is.

        Raises Unreadable.
        """

    def store(self, row: Any, value: Any) -> None: ...


def rotate(store: Store, *, is_dry: bool = False, on_progress: Callable[[Progress], None] = lambda _: None) -> Progress:
    """Re-encrypt values that are not under the current key. Idempotent.

    Call `on_progress` after each batch. A dry run counts and changes nothing.
    """
    progress = Progress()
    all_rows = store.rows().order_by("pk")
    for rows in _batches(all_rows if is_dry else all_rows.select_for_update(of=("self",))):
        for row in rows:
            try:
                value = store.reencrypt(row)
            except Unreadable:
                progress.unreadable += 1
                continue
            if value is None:
                progress.current += 1
            elif is_dry:
                progress.left += 1
            else:
                store.store(row, value)
                progress.rotated += 1
        on_progress(progress)
    return progress


def _batches(rows: QuerySet[Any]) -> Iterator[Sequence[Any]]:
    """Yield all rows in primary-key order.

    Each batch's transaction ends when the next batch is requested.
    """
    after = None
    while True:
        with transaction.atomic():
            later = rows if after is None else rows.filter(pk__gt=after)
            batch = list(later[:BATCH_ROWS])
            if not batch:
                return
            yield batch
            after = batch[-1].pk


class FieldKeys:
    """Keys of encrypted fields.

    They are derived from FIELD_ENCRYPTION_KEY and DJANGO_SECRET_KEY.
    """

    @cached_property
    def _keys(self) -> list[Fernet]:
        return [Fernet(key) for key in EncryptedTextField().keys]

    def reencrypt(self, token: str) -> str | None:
        """Return the token encrypted with the current key, or None if it already is.

        Raises Unreadable.
        """
        current, *retired = self._keys
        if _opened(current, token) is not None:
            return None
        for key in retired:
            if (content := _opened(key, token)) is not None:
                return current.encrypt(content).decode()
        raise Unreadable


def _opened(key: Fernet, token: str) -> bytes | None:
    try:
        return key.decrypt(token.encode())
    except InvalidToken:
        return None


class FieldStore:
    """An encrypted field of a model."""

    def __init__(self, model: type[models.Model], field: str, keys: FieldKeys) -> None:
        self._model, self._field, self._keys_in_use = model, field, keys
        self.name = f"{model._meta.label}.{field}"

    def rows(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = self._model._base_manager.only("pk").annotate(token=Cast(F(self._field), TextField()))
        return rows.exclude(token=None).exclude(token="")

    def reencrypt(self, row: Any) -> str | None:
        return self._keys_in_use.reencrypt(row.token)

    def store(self, row: Any, value: str) -> None:
        # An expression, because the field would encrypt a plain value a second time.
        sealed = Value(value, output_field=TextField())
        self._model._base_manager.filter(pk=row.pk).update(**{self._field: sealed})


class SecondFactorStore:
    """Secrets of second factors, encrypted inside JSON."""

    name = "second factors"

    def __init__(self, keys: FieldKeys) -> None:
        self._keys_in_use = keys

    def rows(self) -> QuerySet[Any]:
        types = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
        rows: QuerySet[Any] = Authenticator.objects.filter(type__in=types)
        return rows

    def reencrypt(self, row: Any) -> dict[str, Any] | None:
        changed: dict[str, Any] = {}
        for name, value in row.data.items():
            tokens = value if isinstance(value, list) else [value]
            made = [self._keys_in_use.reencrypt(token) if isinstance(token, str) else None for token in tokens]
            if any(made):
                both = [new or old for new, old in zip(made, tokens, strict=True)]
                changed[name] = both if isinstance(value, list) else both[0]
        return row.data | changed if changed else None

    def store(self, row: Any, value: dict[str, Any]) -> None:
        Authenticator.objects.filter(pk=row.pk).update(data=value)


def stores() -> list[Store]:
    """Return every encrypted field of every model, and the second factors."""
    keys = FieldKeys()
    fields = [
        FieldStore(model, field.name, keys)
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, EncryptedFieldMixin)
    ]
    return [*fields, SecondFactorStore(keys)]
