"""Attacks on the portal's own keys and on those of provider accounts."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.utils import decrypt, encrypt
from cryptography.exceptions import InvalidTag
from cryptography.fernet import InvalidToken
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone, translation

from avatars.accounts.admin import ProviderAccountAdmin
from avatars.accounts.forms import ProviderAccountForm
from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.contract.provider import NotSent
from heygen_portal.trail import audit_log, key_rotation, signing
from heygen_portal.trail.models import AuditEntry, AuditHead
from sessions.integrity import verification
from sessions.lifecycle import events
from sessions.lifecycle.events import Entry
from sessions.models import HistoryCheck, SessionHead, SpeechKey, Utterance, speech_encryption
from sessions.speech.keys import SpeechKeyStore
from tests.support import derived_keys
from tests.support.factories import ProviderAccountFactory, StreamingSessionFactory, UserFactory

NOW_CURRENT = {"FIELD_ENCRYPTION_KEY": "new", "FIELD_ENCRYPTION_KEY_FALLBACKS": ["old", "older"]}


@pytest.mark.parametrize("stored_under", ["new", "old", "older"])
def test_signatures_of_retired_keys_still_verify(stored_under: str) -> None:
    with override_settings(FIELD_ENCRYPTION_KEY=stored_under):
        signature, name = signing.sign("head", 1, "ab"), signing.key_id()
    with override_settings(**NOW_CURRENT):
        assert signing.is_signed(signature, "head", 1, "ab")
        assert not signing.is_signed(signature, "head", 2, "ab")
        assert list(signing.keys("sign"))[["new", "old", "older"].index(stored_under)] == name


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
@pytest.mark.parametrize("stored_under", ["new", "old", "older"])
def test_speech_keys_wrapped_with_retired_keys_still_open(stored_under: str, has_id: bool) -> None:
    session = uuid4()
    with override_settings(FIELD_ENCRYPTION_KEY=stored_under):
        wrapped = speech_encryption.new_key(session)
        sealed = speech_encryption.encrypt(wrapped, session, "buenos días")
    stored = wrapped if has_id else wrapped[signing.KEY_ID_BYTES :]
    with override_settings(**NOW_CURRENT):
        assert speech_encryption.decrypt(stored, session, sealed) == "buenos días"
        again = speech_encryption.rewrap(stored, session)
        assert speech_encryption.key_id_of(again) == signing.key_id()
    with override_settings(FIELD_ENCRYPTION_KEY="new", FIELD_ENCRYPTION_KEY_FALLBACKS=[]):
        assert speech_encryption.decrypt(again, session, sealed) == "buenos días"
    with override_settings(FIELD_ENCRYPTION_KEY="another"), pytest.raises(InvalidTag):
        speech_encryption.decrypt(stored, session, sealed)


ACCOUNT = {"kind": "heygen", "base_url": "https://api.heygen.com", "key_header": "x-api-key"}


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[ProviderAccount]:
    """Collect the accounts whose keys would have been sent to a provider."""
    asked: list[ProviderAccount] = []

    async def check(account: ProviderAccount) -> None:
        asked.append(account)

    monkeypatch.setattr("avatars.accounts.forms.check_key", check)
    return asked


FORM = {
    **ACCOUNT,
    "name": "Ours",
    "api_key": "",
    "rooms": "provider",
    "nightly_check": "free",
    "concurrency_limit": "3",
    "staff_places": "0",
    "alarm_share": "80",
    "credits_per_minute": "0.2",
}


def save_account(client: Client, account: ProviderAccount, **changed: str) -> Any:
    return client.post(f"/admin/avatars/provideraccount/{account.pk}/change/", FORM | changed)


@pytest.fixture(scope="module")
def account_form() -> type[ProviderAccountForm]:
    """Return the form of the admin page."""
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True)
    admin = ProviderAccountAdmin(ProviderAccount, site)
    form: type[ProviderAccountForm] = admin.get_form(request, ProviderAccount(pk=1), change=True)
    return form


MOVES = [
    {"base_url": "https://evil.test"},
    {"base_url": "https://api.heygen.com:8443"},
    {"base_url": "http://127.0.0.1:8000"},
    {"base_url": "https://api.heygen.com.evil.test", "name": "Renamed"},
    {"key_header": "bearer"},
    {"kind": "liveavatar", "base_url": "https://api.liveavatar.com"},
]


def test_the_admin_page_keeps_the_stored_key_from_another_server(
    admin_client: Client, checked: list[ProviderAccount]
) -> None:
    account = ProviderAccountFactory.create(name="Ours", api_key="stored-key", concurrency_limit=3, **ACCOUNT)
    response = save_account(admin_client, account, base_url="https://evil.test")
    assert "api_key" in response.context["adminform"].form.errors
    assert checked == []
    account.refresh_from_db()
    assert (account.kind, account.base_url, account.key_header) == tuple(ACCOUNT.values())
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("changed", MOVES)
@pytest.mark.parametrize("blank", ["", "   "])
def test_the_stored_key_never_goes_to_another_server(
    account_form: type[ProviderAccountForm], checked: list[ProviderAccount], changed: dict[str, str], blank: str
) -> None:
    account = ProviderAccountFactory.create(name="Ours", api_key="stored-key", concurrency_limit=3, **ACCOUNT)
    assert list(account_form(FORM | changed | {"api_key": blank}, instance=account).errors) == ["api_key"]
    assert checked == []


@pytest.mark.parametrize("changed", MOVES)
def test_an_account_moves_with_a_new_key_and_both_changes_are_audited(
    admin_client: Client, checked: list[ProviderAccount], changed: dict[str, str]
) -> None:
    account = ProviderAccountFactory.create(name="Ours", api_key="stored-key", concurrency_limit=3, **ACCOUNT)
    assert save_account(admin_client, account, **changed, api_key="new-key").status_code == 302
    assert [asked.api_key for asked in checked] == ["new-key"]
    moved, key_set = AuditEntry.objects.order_by("number")
    assert (moved.kind, key_set.kind) == (AuditEntry.Kind.ACCOUNT_CHANGED, AuditEntry.Kind.KEY_SET)
    assert {name: pair[1] for name, pair in moved.data.items() if name != "rows"} == changed
    assert moved.data["rows"]["account"][str(account.pk)] == changed


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    [
        "http://api.heygen.com",
        "http://10.0.0.5",
        "http://emulator:8010",
        "http://localhost.evil.test",
        "http://[2001:db8::1]",
    ],
)
def test_keys_are_never_sent_in_clear_to_another_machine(
    account_form: type[ProviderAccountForm], checked: list[ProviderAccount], address: str
) -> None:
    account = ProviderAccountFactory.create(name="Ours", **ACCOUNT)
    form = account_form(FORM | {"base_url": address, "api_key": "new-key"}, instance=account)
    assert list(form.errors) == ["base_url"]
    assert checked == []


UNUSABLE = [
    "http://[::1]evil.com",
    "https://[::1]evil.com",
    "http://[::1]:80:80",
    "https://[v1.a]",
    "https://[1.2.3.4]",
    "https://[fe80::1::2]",
    "https://[::1",
    "https://a..b",
    "https://.",
    "https://xn--.com",
    "https://xn--a",
    "https://999.1.1.1",
    f"https://{'a' * 64}.com",
    "https://api.heygen.com:99999",
    "https://api.heygen.com:0",
]


@pytest.mark.django_db
@pytest.mark.parametrize("address", UNUSABLE)
def test_an_unusable_address_is_refused_with_an_explanation(
    account_form: type[ProviderAccountForm], checked: list[ProviderAccount], address: str
) -> None:
    account = ProviderAccountFactory.create(name="Ours", **ACCOUNT)
    form = account_form(FORM | {"base_url": address, "api_key": "new-key"}, instance=account)
    for language, words in (("es", "sin ruta"), ("en", "without a path")):
        with translation.override(language):
            assert words in str(form.errors["base_url"])
    assert checked == []


def test_the_admin_page_explains_an_unusable_address(admin_client: Client, checked: list[ProviderAccount]) -> None:
    account = ProviderAccountFactory.create(name="Ours", **ACCOUNT)
    page = save_account(admin_client, account, base_url=UNUSABLE[0], api_key="new-key").content.decode()
    assert "sin ruta" in page
    assert checked == []


@pytest.mark.parametrize("address", [*UNUSABLE, "http://api.heygen.com", "http://10.0.0.5", "http://emulator:8010"])
@pytest.mark.parametrize("kind", list(providers.KINDS))
async def test_a_stored_unusable_address_is_not_called(kind: str, address: str) -> None:
    account = ProviderAccountFactory.build(kind=kind, base_url=address, api_key="stored-key")
    async with providers.opened(account) as provider:
        with pytest.raises(NotSent, match="https"):
            await provider.list_sessions()
        with pytest.raises(NotSent, match="https"):
            await provider.download("https://files.example.com/a.png")


@contextmanager
def with_keys(current: str, *retired: str) -> Iterator[None]:
    """Run a block as a process started with these keys would."""
    here = {"FIELD_ENCRYPTION_KEY": current, "FIELD_ENCRYPTION_KEY_FALLBACKS": list(retired)}
    with override_settings(**here, SALT_KEY=[current, *retired]):
        derived_keys.forget()
        yield
    derived_keys.forget()


@dataclass(frozen=True)
class Stored:
    account: ProviderAccount
    user: User
    codes: list[str]
    line: Utterance

    def is_readable(self) -> bool:
        """Whether this process can decrypt everything."""
        factors = {factor.type: factor.wrap() for factor in Authenticator.objects.filter(user=self.user)}
        try:
            line = Utterance.objects.get(pk=self.line.pk).text
            secret = decrypt(factors["totp"].instance.data["secret"])
            codes = factors["recovery_codes"].get_unused_codes()
        except (InvalidTag, InvalidToken):
            return False
        key = ProviderAccount.objects.get(pk=self.account.pk).api_key
        return (key, secret, codes, line) == ("provider-key", SECRET, self.codes, "buenos días")


SECRET = "JBSWY3DPEHPK3PXP"


@pytest.fixture
def stored(db: None) -> Stored:
    return store_one_of_everything()


def store_one_of_everything() -> Stored:
    """Store one value of each encrypted kind under a key that is retired later."""
    with with_keys("old"):
        account = ProviderAccountFactory.create(api_key="provider-key")
        session = StreamingSessionFactory.create()
        line = Utterance.objects.create(session=session, who="user", by="text", source="portal", text="buenos días")
        user = UserFactory.create()
        TOTP.activate(user, SECRET)
        stored = Stored(account, user, RecoveryCodes.activate(user).get_unused_codes(), line)
        assert stored.is_readable()
    return stored


def rotate(*args: str) -> str:
    out = StringIO()
    call_command("rotate_keys", *args, stdout=out)
    return out.getvalue()


def test_everything_that_is_encrypted_moves_to_the_new_key(stored: Stored) -> None:
    with with_keys("new"):
        assert not stored.is_readable()
    with with_keys("new", "old"):
        assert stored.is_readable()
        with pytest.raises(CommandError, match="left to re-encrypt"):
            rotate("--check")
        assert stored.is_readable()
        assert "Nothing is left." in rotate()
        assert "Nothing is left." in rotate("--check")
    with with_keys("new"):
        assert stored.is_readable()
    with with_keys("old"):
        assert not stored.is_readable()


@pytest.mark.proof  # on SQLite above
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("postgres", "transactional_db")
def test_everything_moves_to_the_new_key_on_postgres() -> None:
    stored = store_one_of_everything()
    with with_keys("new", "old"):
        assert "Nothing is left." in rotate()
    with with_keys("new"):
        assert stored.is_readable()


def test_an_interrupted_rotation_continues_where_it_stopped(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [StreamingSessionFactory.create() for _ in range(4)]
    with with_keys("old"):
        for session in others:
            SpeechKey.wrapped_for(session.pk)
    monkeypatch.setattr(key_rotation, "BATCH_ROWS", 2)
    batches = 0

    def die(progress: key_rotation.Progress) -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise KeyboardInterrupt

    with with_keys("new", "old"):
        with pytest.raises(KeyboardInterrupt):
            key_rotation.rotate(SpeechKeyStore(), on_progress=die)
        assert stored.is_readable()
        assert key_rotation.rotate(SpeechKeyStore()) == key_rotation.Progress(current=2, rotated=3)
        assert stored.is_readable()


@pytest.mark.parametrize("lost", ["provider's key", "second factor", "speech"])
def test_a_value_under_a_lost_key_is_named_and_left_as_it_is(stored: Stored, lost: str) -> None:
    with with_keys("lost"):
        match lost:
            case "provider's key":
                ProviderAccount.objects.filter(pk=stored.account.pk).update(api_key="lost")
            case "second factor":
                Authenticator.objects.filter(type="totp").update(data={"secret": encrypt(SECRET)})
            case _:
                SpeechKey.objects.update(wrapped=speech_encryption.new_key(stored.line.session_id))
    with with_keys("new", "old"), pytest.raises(CommandError, match="1 cannot be read"):
        rotate()
    with with_keys("new", "old", "lost"):
        assert "Nothing is left." in rotate()


def test_speech_erased_during_rotation_stays_erased(stored: Stored) -> None:
    store = SpeechKeyStore()
    row = store.rows().get()
    SpeechKey.objects.update(wrapped=b"", erased_at=timezone.now())
    with with_keys("new", "old"):
        renewed = store.reencrypt(row)
        assert renewed
        store.store(row, renewed)
    assert bytes(SpeechKey.objects.get().wrapped) == b""


def test_rotation_does_not_sign_seals_and_heads_again(stored: Stored) -> None:
    def first_faults() -> tuple[Any, Any]:
        return verification.first_fault_of(session.pk), audit_log.check()[1]

    with with_keys("old"):
        session = StreamingSessionFactory.create()
        events.record(session.pk, Entry("room_made"))
        audit_log.record(None, AuditEntry.Kind.SEARCHED, "somebody")
        signed = SessionHead.objects.get(session=session).signature, AuditHead.objects.get().signature
    with with_keys("new", "old"):
        rotate()
        assert (SessionHead.objects.get(session=session).signature, AuditHead.objects.get().signature) == signed
        assert first_faults() == (None, None)
        events.record(session.pk, Entry("room_made"))
        audit_log.record(None, AuditEntry.Kind.SEARCHED, "somebody")
        assert first_faults() == (None, None)
    with with_keys("new"):
        assert first_faults() == (None, None)  # the newest signatures use the new key
    with with_keys("stranger's"):
        fault, wrong = first_faults()
        assert (fault.kind, wrong[0]) == ("head_forged", "head_forged")


@pytest.mark.django_db(transaction=True)
def test_verification_with_the_keys_of_another_portal_writes_nothing(settings: Any) -> None:
    audit_log.record(None, AuditEntry.Kind.SEARCHED, "words")
    before = list(AuditEntry.objects.values_list("number", "hash"))
    settings.FIELD_ENCRYPTION_KEY = "another-portals-key"
    with pytest.raises(CommandError, match="does not have"):
        call_command("verify_history")
    assert list(AuditEntry.objects.values_list("number", "hash")) == before
    assert not HistoryCheck.objects.exists()
