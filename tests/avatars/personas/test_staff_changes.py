"""Staff changes of accounts, personas and quotas are audited with both values."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.db import DatabaseError
from django.test import Client

from avatars.accounts import migration
from avatars.models import Persona, ProviderAccount
from avatars.personas import publishing, versions
from heygen_portal.trail import audit_log
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.statements import DELETED_ROWS, ROWS
from sessions.integrity import audit_statements, verification
from sessions.models import Quota
from tests.avatars.accounts.test_admin import form as account_form
from tests.avatars.personas.test_admin import form as persona_form
from tests.support.factories import AvatarFactory, PersonaFactory, ProviderAccountFactory, UserFactory, VoiceFactory

pytestmark = pytest.mark.django_db

KIND = AuditEntry.Kind
ACCOUNTS, PERSONAS, QUOTAS = (
    "/admin/avatars/provideraccount/",
    "/admin/avatars/persona/",
    "/admin/avatar_sessions/quota/",
)


@pytest.fixture
def account() -> ProviderAccount:
    return ProviderAccountFactory.create(name="Ours", base_url="https://api.heygen.com", concurrency_limit=3)


def audit_entries() -> list[tuple[str, str, dict[str, Any]]]:
    return [(entry.kind, entry.about, values_of(entry)) for entry in AuditEntry.objects.order_by("number")]


def values_of(entry: AuditEntry) -> dict[str, Any]:
    """Return what an entry shows, without its statements about rows."""
    return {name: value for name, value in entry.data.items() if name not in (ROWS, DELETED_ROWS)}


@pytest.mark.parametrize(
    ("changed", "data"),
    [
        ({"credits_per_minute": "0.5"}, {"credits_per_minute": ["0.200", "0.500"]}),
        ({"monthly_cap": "1000"}, {"monthly_cap": [None, "1000.00"]}),
        ({"concurrency_limit": "9", "staff_places": "2"}, {"concurrency_limit": [3, 9], "staff_places": [0, 2]}),
        ({"longest_session": "00:30:00"}, {"longest_session": [None, "0:30:00"]}),
        (
            {"base_url": "https://other.test", "api_key": "new"},
            {"base_url": ["https://api.heygen.com", "https://other.test"]},
        ),
        ({"key_header": "bearer", "api_key": "k"}, {"key_header": ["x-api-key", "bearer"]}),
        ({"speech_days": "30", "is_exclusive": "on"}, {"speech_days": [None, 30], "is_exclusive": [False, True]}),
    ],
)
def test_changes_of_an_account_are_in_the_audit_log(
    admin_client: Client, admin_user: User, account: ProviderAccount, changed: dict[str, str], data: Any
) -> None:
    page = f"{ACCOUNTS}{account.pk}/change/"
    admin_client.post(page, account_form(name="Ours", **changed), REMOTE_ADDR="192.0.2.18")
    entry = AuditEntry.objects.get(kind=KIND.ACCOUNT_CHANGED)
    assert (entry.about, values_of(entry), entry.by, entry.address) == ("Ours", data, admin_user, "192.0.2.18")
    assert set(entry.data[ROWS]["account"][str(account.pk)]) == set(data)
    assert AuditEntry.objects.filter(kind=KIND.KEY_SET).exists() == ("api_key" in changed)


def test_every_editable_column_of_an_account_is_audited_except_the_key(admin_client: Client) -> None:
    admin_client.post(f"{ACCOUNTS}add/", account_form(api_key="sk-secret"))
    entry = AuditEntry.objects.get(kind=KIND.ACCOUNT_CHANGED)
    shown = set(admin_client.get(f"{ACCOUNTS}add/").context["adminform"].form.fields)
    assert shown - {"api_key"} <= {field.name for field in ProviderAccount._meta.concrete_fields}
    values = values_of(entry)
    assert {name for name in values if values[name][1] is not None} <= shown
    assert shown - {"api_key"} - set(values) == {"idle_timeout", "monthly_cap", "longest_session", "speech_days"}
    assert "sk-secret" not in str([vars(entry) for entry in AuditEntry.objects.all()])


def test_publishing_rolling_back_and_unpublishing_are_in_the_audit_log(admin_client: Client, admin_user: User) -> None:
    persona = PersonaFactory.create()
    actions = f"{PERSONAS}{persona.pk}/"
    run = {"action": "publish", "_selected_action": [persona.pk]}
    admin_client.post(PERSONAS, run)
    admin_client.post(f"{actions}change/", persona_form(persona, duration_limit="00:30:00"))
    admin_client.post(PERSONAS, run)
    admin_client.post(PERSONAS, run)  # again: nothing changes
    admin_client.post(f"{actions}versions/", {"publish": "1"})
    admin_client.post(PERSONAS, {**run, "action": "unpublish"})
    found = [(kind, data["version"]) for kind, _, data in audit_entries()]
    assert found == [
        (KIND.VERSION_SAVED, [None, 1]),
        (KIND.PUBLISHED, [None, 1]),
        (KIND.VERSION_SAVED, [1, 2]),
        (KIND.PUBLISHED, [1, 2]),
        (KIND.ROLLED_BACK, [2, 1]),
        (KIND.UNPUBLISHED, [1, None]),
    ]
    assert audit_entries()[3][2]["duration_limit"] == ["0:20:00", "0:30:00"]
    assert {entry.by for entry in AuditEntry.objects.exclude(number=1)} == {admin_user}


def test_publishing_by_the_server_has_no_author() -> None:
    publishing.publish(PersonaFactory.create())
    entry = AuditEntry.objects.get(kind=KIND.PUBLISHED)
    assert (entry.kind, entry.by, entry.address) == (KIND.PUBLISHED, None, None)


@pytest.mark.django_db(transaction=True)
def test_a_moved_persona_is_published_by_the_user_who_moved_it(admin_user: User, provider: Mock) -> None:
    persona = PersonaFactory.create(published=True, knowledge_base=None, is_improvising=True)
    target = ProviderAccountFactory.create()
    AvatarFactory.create(account=target, name=persona.avatar.name)
    VoiceFactory.create(account=target, name=str(persona.voice), language=persona.language)
    plan = migration.plan(persona.avatar.account, target)
    async_to_sync(migration.apply)(plan, Actor(admin_user.pk, "192.0.2.18"))
    assert Persona.objects.get().avatar.account == target
    entry = AuditEntry.objects.get(kind=KIND.PUBLISHED)
    assert (entry.by, entry.address) == (admin_user, "192.0.2.18")


def test_changes_of_groups_and_quotas_match_their_rows(admin_client: Client) -> None:
    persona = PersonaFactory.create(published=True)
    versions.save_version(persona)
    first, second = (Group.objects.create(name=name) for name in ("Customers", "Guests"))
    assert audit_statements.upgrade()
    for before, after in ([], [first.pk]), ([first.pk], [second.pk]):
        stored = {"groups": after, "initial-slug": persona.slug, "initial-groups": before}
        assert admin_client.post(f"{PERSONAS}{persona.pk}/change/", persona_form(persona, **stored)).status_code == 302
    for group in (first, second):
        form = {"user": "", "group": group.pk, "duration_limit": "", "idle_timeout": "", "minutes_per_month": "60"}
        assert admin_client.post(f"{QUOTAS}add/", form).status_code == 302
    kept, dropped = Quota.objects.order_by("pk")
    form = {"user": "", "group": first.pk, "duration_limit": "", "idle_timeout": "", "minutes_per_month": "90"}
    assert admin_client.post(f"{QUOTAS}{kept.pk}/change/", form).status_code == 302
    assert admin_client.post(f"{QUOTAS}{dropped.pk}/delete/", {"post": "yes"}).status_code == 302
    assert (Quota.objects.get().minutes_per_month, list(persona.groups.all())) == (90, [second])
    assert list(verification.faults()) == []


def test_a_new_personas_groups_are_audited_and_match_their_rows(admin_client: Client) -> None:
    template, group = PersonaFactory.create(), Group.objects.create(name="Customers")
    versions.save_version(template)
    assert audit_statements.upgrade()
    added = persona_form(template, name="New", slug="new", groups=[group.pk])
    assert admin_client.post(f"{PERSONAS}add/", added).status_code == 302
    assert list(Persona.objects.get(slug="new").groups.all()) == [group]
    assert (KIND.PERSONA_CHANGED, "New", {"groups": [[], ["Customers"]]}) in audit_entries()
    assert list(verification.faults()) == []


def test_changes_of_groups_and_slug_are_in_the_audit_log(admin_client: Client) -> None:
    persona, group = PersonaFactory.create(published=True), Group.objects.create(name="Customers")
    versions.save_version(persona)
    stored = {"groups": [group.pk], "slug": "another", "initial-slug": persona.slug, "initial-groups": []}
    assert admin_client.post(f"{PERSONAS}{persona.pk}/change/", persona_form(persona, **stored)).status_code == 302
    assert [entry for entry in audit_entries() if entry[0] == KIND.PERSONA_CHANGED] == [
        (KIND.PERSONA_CHANGED, persona.name, {"slug": [persona.slug, "another"], "groups": [[], ["Customers"]]})
    ]


def test_quota_changes_are_in_the_audit_log(admin_client: Client) -> None:
    group = Group.objects.create(name="Customers")
    given = {"user": "", "group": str(group.pk), "duration_limit": "", "idle_timeout": "", "minutes_per_month": "60"}
    admin_client.post(f"{QUOTAS}add/", given)
    page = f"{QUOTAS}{Quota.objects.get().pk}/"
    admin_client.post(f"{page}change/", {**given, "minutes_per_month": "600"})
    admin_client.post(f"{page}change/", {**given, "minutes_per_month": "600"})
    admin_client.post(f"{page}delete/", {"post": "yes"})
    assert audit_entries() == [
        (KIND.QUOTA_CHANGED, "Customers", {"group": [None, "Customers"], "minutes_per_month": [None, 60]}),
        (KIND.QUOTA_CHANGED, "Customers", {"minutes_per_month": [60, 600]}),
        (KIND.QUOTA_CHANGED, "Customers", {"group": ["Customers", None], "minutes_per_month": [600, None]}),
    ]


def test_quotas_deleted_together_have_an_audit_entry_each(admin_client: Client) -> None:
    rows = [Quota.objects.create(user=UserFactory.create(), minutes_per_month=n) for n in (1, 2, 3)]
    chosen = {"action": "delete_selected", "_selected_action": [row.pk for row in rows], "post": "yes"}
    admin_client.post(QUOTAS, chosen)
    assert not Quota.objects.exists()
    assert sorted(data["minutes_per_month"] for _, _, data in audit_entries()) == [[1, None], [2, None], [3, None]]


@pytest.mark.parametrize("what", ["account", "publish", "quota", "deletion"])
def test_a_change_without_an_audit_entry_is_rolled_back(
    admin_client: Client, account: ProviderAccount, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    persona, quota = PersonaFactory.create(), Quota.objects.create(user=UserFactory.create())
    calls = {
        "account": (f"{ACCOUNTS}{account.pk}/change/", account_form(name="Ours", monthly_cap="5")),
        "publish": (PERSONAS, {"action": "publish", "_selected_action": [persona.pk]}),
        "quota": (f"{QUOTAS}{quota.pk}/change/", {"user": quota.user_id, "minutes_per_month": "7"}),
        "deletion": (f"{QUOTAS}{quota.pk}/delete/", {"post": "yes"}),
    }

    def refuse(*args: Any, **data: Any) -> None:
        raise DatabaseError("the audit log is away")

    monkeypatch.setattr(audit_log, "record_by", refuse)
    with pytest.raises(DatabaseError):
        admin_client.post(*calls[what])
    account.refresh_from_db()
    persona.refresh_from_db()
    quota.refresh_from_db()
    assert (account.monthly_cap, persona.status, quota.minutes_per_month) == (None, Persona.Status.DRAFT, None)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            [
                "provider account changed",
                "credits per minute: 0.200 → 0.500",
                "rooms: the provider’s rooms → the portal’s LiveKit server",
            ],
        ),
        (
            "es",
            ["cuenta de proveedor cambiada", "créditos por minuto: 0.200 → 0.500", "solo la usa este portal: no → sí"],
        ),
    ],
)
def test_changes_are_described_in_the_readers_language(admin_client: Client, language: str, words: list[str]) -> None:
    changed: dict[str, Any] = {
        "credits_per_minute": ["0.200", "0.500"],
        "rooms": ["provider", "own"],
        "is_exclusive": [False, True],
    }
    audit_log.record(None, KIND.ACCOUNT_CHANGED, "Ours", **changed)
    page = admin_client.get("/admin/heygen_portal/auditentry/", headers={"accept-language": language})
    for word in words:
        assert word in page.content.decode()
