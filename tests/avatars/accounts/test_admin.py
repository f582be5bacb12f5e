"""Provider accounts in the admin, which never shows a key."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client, override_settings

from avatars.models import ProviderAccount
from heygen_portal.providers.contract.provider import CredentialRefused
from tests.support.factories import AvatarFactory, ProviderAccountFactory

pytestmark = pytest.mark.django_db

KEY = "sk-nobody-may-see-this"


def test_the_key_is_encrypted_at_rest() -> None:
    ProviderAccountFactory.create(api_key=KEY)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM avatars_provideraccount")
        row = cursor.fetchone()
    assert KEY not in str(row)
    assert ProviderAccount.objects.get().api_key == KEY


def test_no_admin_page_shows_the_key(admin_client: Client) -> None:
    account = ProviderAccountFactory.create(api_key=KEY)
    for page in ("", f"{account.pk}/change/", f"{account.pk}/history/", "add/"):
        response = admin_client.get(f"/admin/avatars/provideraccount/{page}")
        assert response.status_code == 200
        assert KEY not in response.content.decode()


def form(**changes: str) -> dict[str, str]:
    values = {
        "name": "HeyGen",
        "kind": "heygen",
        "base_url": "https://api.heygen.com",
        "api_key": "",
        "key_header": "x-api-key",
        "rooms": "provider",
        "nightly_check": "free",
        "concurrency_limit": "3",
        "staff_places": "0",
        "monthly_cap": "",
        "alarm_share": "80",
        "credits_per_minute": "0.2",
    }
    return {**values, **changes}


def test_an_empty_key_keeps_the_old_one(admin_client: Client) -> None:
    account = ProviderAccountFactory.create(api_key=KEY)
    same = form(name="Renamed", base_url=account.base_url)
    admin_client.post(f"/admin/avatars/provideraccount/{account.pk}/change/", same)
    account.refresh_from_db()
    assert account.name == "Renamed"
    assert account.api_key == KEY


def test_a_new_key_replaces_the_old_one(admin_client: Client) -> None:
    account = ProviderAccountFactory.create(api_key=KEY)
    admin_client.post(f"/admin/avatars/provideraccount/{account.pk}/change/", form(api_key="sk-new"))
    account.refresh_from_db()
    assert account.api_key == "sk-new"


@pytest.mark.daily(6)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("api_key", ""),
        ("api_key", "clavé"),
        ("api_key", "two words"),
        ("base_url", "ftp://api.heygen.com"),
        ("base_url", "https://api.heygen.com/v1"),
        ("base_url", "https://user:password@api.heygen.com"),
        ("base_url", "https://api.heygen.com:99999"),
        ("base_url", "https://[::::]"),
        ("base_url", "https://"),
        ("base_url", "http://api.heygen.com"),
        ("base_url", "http://emulator"),
        ("base_url", "http://10.0.0.5:8010"),
        ("base_url", "http://localhost.example.com"),
        ("base_url", "http://127.0.0.1.example.com"),
        ("base_url", "HTTP://api.heygen.com"),
        ("concurrency_limit", "0"),
    ],
)
def test_an_invalid_account_is_not_stored(admin_client: Client, field: str, value: str) -> None:
    response = admin_client.post("/admin/avatars/provideraccount/add/", form(**{"api_key": "sk-1", field: value}))
    assert field in response.context["adminform"].form.errors
    assert not ProviderAccount.objects.exists()


@pytest.mark.parametrize(
    "url",
    ["https://api.heygen.com", "http://127.0.0.1:8900", "http://[::1]:80", "http://localhost", "https://emulator"],
)
def test_an_address_may_be_a_single_word_or_an_ip_address(admin_client: Client, url: str) -> None:
    admin_client.post("/admin/avatars/provideraccount/add/", form(api_key="sk-1", base_url=url))
    assert ProviderAccount.objects.get().base_url == url


def test_the_emulator_of_the_settings_may_be_in_another_container(admin_client: Client) -> None:
    with override_settings(EMULATOR_URL="http://emulator:8010"):
        for url in ("http://emulator:8010", "http://emulator:8011"):
            admin_client.post("/admin/avatars/provideraccount/add/", form(name=url, api_key="sk-1", base_url=url))
    assert [account.base_url for account in ProviderAccount.objects.all()] == ["http://emulator:8010"]


@pytest.mark.parametrize("change", [{"staff_places": "3"}, {"longest_session": "0"}, {"idle_timeout": "0"}])
def test_an_account_must_leave_slots_and_time_for_users(admin_client: Client, change: dict[str, str]) -> None:
    response = admin_client.post("/admin/avatars/provideraccount/add/", form(api_key="sk-1", **change))
    assert response.context["adminform"].form.non_field_errors()
    assert not ProviderAccount.objects.exists()


def test_a_key_of_another_provider_is_refused_on_saving(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirement 43.

    The provider's refusal is shown at the field, before anything is stored.
    """

    async def refused(account: ProviderAccount) -> None:
        raise CredentialRefused("users/credits: Unauthorized", status=401)

    monkeypatch.setattr("avatars.accounts.forms.check_key", refused)
    wrong = form(kind="liveavatar", base_url="https://api.liveavatar.com", api_key="sk-of-heygen")
    response = admin_client.post("/admin/avatars/provideraccount/add/", wrong, headers={"accept-language": "en"})
    assert "LiveAvatar does not accept this key" in str(response.context["adminform"].form.errors["api_key"])
    assert not ProviderAccount.objects.exists()


def test_an_unreachable_provider_leaves_the_key_unchecked(admin_client: Client) -> None:
    add = "/admin/avatars/provideraccount/add/"
    response = admin_client.post(add, form(api_key="sk-1"), follow=True, headers={"accept-language": "en"})
    assert "could not be checked" in " ".join(str(message) for message in response.context["messages"])
    assert ProviderAccount.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"kind": "liveavatar", "key_header": "bearer"}, "key_header"), ({"is_sandbox": "on"}, "is_sandbox")],
)
def test_unsupported_options_are_refused(admin_client: Client, changes: dict[str, str], field: str) -> None:
    response = admin_client.post("/admin/avatars/provideraccount/add/", form(api_key="sk-1", **changes))
    assert field in response.context["adminform"].form.errors


def test_the_provider_of_an_account_with_avatars_cannot_change() -> None:
    account = ProviderAccountFactory.create(kind="heygen")
    account.kind = "liveavatar"
    account.full_clean()
    AvatarFactory.create(account=account)
    with pytest.raises(ValidationError) as refusal:
        account.full_clean()
    assert list(refusal.value.message_dict) == ["kind"]
