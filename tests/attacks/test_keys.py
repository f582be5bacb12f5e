"""Attacks on keys: the portal's own, and those of provider accounts."""

from __future__ import annotations

import hmac
from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidTag
from django.test import override_settings

from heygen_portal import signing
from sessions import sealing

NOW_CURRENT = {"FIELD_ENCRYPTION_KEY": "new", "FIELD_ENCRYPTION_KEY_FALLBACKS": ["old", "older"]}


@pytest.mark.parametrize("made_with", ["new", "old", "older"])
def test_signatures_of_retired_keys_still_verify(made_with: str) -> None:
    with override_settings(FIELD_ENCRYPTION_KEY=made_with):
        signature, name = signing.sign("head", 1, "ab"), signing.key_id()
    with override_settings(**NOW_CURRENT):
        assert signing.is_signed(signature, "head", 1, "ab")
        assert not signing.is_signed(signature, "head", 2, "ab")
        assert list(signing.keys("sign"))[["new", "old", "older"].index(made_with)] == name


@override_settings(**NOW_CURRENT)
def test_signatures_from_before_keys_had_ids_still_verify() -> None:
    for old_key in signing.keys("sign").values():
        signature = hmac.digest(old_key, b"head\n1\nab", "sha256").hex()
        assert signing.is_signed(signature, "head", 1, "ab")
        assert not signing.is_signed(signature, "head", 1, "ac")


@override_settings(**NOW_CURRENT)
@pytest.mark.parametrize("forged", ["", ".", "é", "0" * 64, "{id}.", "{id}.AAAA", "ffffffff.{mac}", "{mac}", "{id}.é"])
def test_signatures_of_unknown_or_wrong_keys_are_refused(forged: str) -> None:
    name, mac = signing.sign("head", 1, "ab").split(".")
    assert not signing.is_signed(forged.format(id=name, mac=mac), "head", 1, "ab")


@override_settings(**NOW_CURRENT)
def test_a_signature_under_an_unlisted_key_is_refused() -> None:
    with override_settings(FIELD_ENCRYPTION_KEY="stolen", FIELD_ENCRYPTION_KEY_FALLBACKS=[]):
        signature = signing.sign("head", 1, "ab")
    assert not signing.is_signed(signature, "head", 1, "ab")


@pytest.mark.parametrize("has_id", [True, False])
@pytest.mark.parametrize("made_with", ["new", "old", "older"])
def test_speech_keys_wrapped_with_retired_keys_still_open(made_with: str, has_id: bool) -> None:
    session = uuid4()
    with override_settings(FIELD_ENCRYPTION_KEY=made_with):
        wrapped = sealing.new_key(session)
        sealed = sealing.seal(wrapped, session, "buenos días")
    stored = wrapped if has_id else wrapped[signing.KEY_ID_BYTES :]
    with override_settings(**NOW_CURRENT):
        assert sealing.unseal(stored, session, sealed) == "buenos días"
        again = sealing.rewrapped(stored, session)
        assert sealing.key_id_of(again) == signing.key_id()
    with override_settings(FIELD_ENCRYPTION_KEY="new", FIELD_ENCRYPTION_KEY_FALLBACKS=[]):
        assert sealing.unseal(again, session, sealed) == "buenos días"
    with override_settings(FIELD_ENCRYPTION_KEY="another"), pytest.raises(InvalidTag):
        sealing.unseal(stored, session, sealed)
