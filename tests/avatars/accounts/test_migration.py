"""Moving personas to another account: dry run, matching, history."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from unittest.mock import AsyncMock, Mock

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from avatars.accounts import migration
from avatars.models import KnowledgeBase, Persona, PersonaTest, PersonaVersion, ProviderAccount
from heygen_portal.providers.contract.provider import ProviderUnreachable
from heygen_portal.trail.models import AuditEntry
from tests.support.factories import (
    AvatarFactory,
    ModelServiceFactory,
    PersonaFactory,
    ProviderAccountFactory,
    StreamingSessionFactory,
    VoiceFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def target(provider: Mock) -> ProviderAccount:
    """Another provider's account: same avatars, another voice, no knowledge base."""
    account: ProviderAccount = ProviderAccountFactory.create(name="LiveAvatar", kind="liveavatar")
    AvatarFactory.create(account=account, name="LUCIA", provider_avatar_id="new-lucia")
    VoiceFactory.create(account=account, name="Marta", gender="female", provider_voice_id="new-marta")
    provider.create_knowledge_base = AsyncMock(return_value="new-context")
    return account


@pytest.fixture
def persona() -> Persona:
    """A persona with settings that the other provider does not support."""
    made: Persona = PersonaFactory.create(
        published=True,
        greeting="Hola.",
        voice_rate=Decimal("1.5"),
        voice_emotion="friendly",
        idle_timeout=timedelta(minutes=20),
    )
    assert made.voice
    made.voice.gender, made.voice.has_emotions = "female", True
    made.voice.save()
    KnowledgeBase.objects.filter(account=made.avatar.account).update(prompt="Somos…", opening="Buenos días")
    made.avatar.account.name = "HeyGen"
    made.avatar.account.save()
    return made


def migrate(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    call_command("migrate_provider", "HeyGen", "LiveAvatar", *args)
    return capsys.readouterr().out


def test_a_dry_run_shows_the_plan_and_changes_nothing(
    persona: Persona, target: ProviderAccount, provider: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    output = migrate(capsys)
    assert "Lucía → LUCIA" in output
    assert "1.50 → 1.2" in output
    assert "friendly → –" in output
    assert not provider.create_knowledge_base.called
    persona.refresh_from_db()
    assert (persona.avatar.account.name, persona.version) == ("HeyGen", 1)


def test_a_moved_persona_gets_a_new_version(
    persona: Persona, target: ProviderAccount, provider: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    session = StreamingSessionFactory.create(persona=persona)
    before = session.persona_settings
    migrate(capsys, "--apply")
    persona.refresh_from_db()
    assert persona.avatar.provider_avatar_id == "new-lucia"
    assert persona.voice
    assert persona.voice.provider_voice_id == "new-marta"
    assert (persona.version, persona.status) == (2, Persona.Status.PUBLISHED)
    assert (persona.voice_rate, persona.voice_emotion, persona.idle_timeout) == (
        Decimal("1.2"),
        "",
        timedelta(minutes=4),
    )
    assert persona.knowledge_base
    assert persona.knowledge_base.provider_knowledge_base_id == "new-context"
    assert provider.create_knowledge_base.call_args.kwargs == {"name": "Recepción", "opening": "", "prompt": "Somos…"}
    session.refresh_from_db()
    assert (session.persona_settings, session.account.name) == (before, "HeyGen")
    assert KnowledgeBase.objects.filter(account__name="HeyGen", opening="Buenos días").exists()


def test_a_tested_persona_is_moved_and_the_audit_log_says_why_its_tests_did_not_run_again(
    persona: Persona, target: ProviderAccount, provider: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"brain": "own", "model_service": ModelServiceFactory.create(), "instructions": "Sé amable."}
    for rows in (Persona.objects.all(), PersonaVersion.objects.all()):
        rows.update(**own)
    PersonaTest.objects.create(persona=persona, name="Precio", position=1, turns=[{"say": "¿Cuánto cuesta?"}])
    output = migrate(capsys, "--apply")
    persona.refresh_from_db()
    assert (persona.avatar.provider_avatar_id, persona.version) == ("new-lucia", 2), output
    changes = AuditEntry.objects.get(kind="published").data
    assert changes["published_despite_tests"] == [None, "Moved to LiveAvatar"]


def test_a_second_run_copies_nothing_again(
    persona: Persona, target: ProviderAccount, provider: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(capsys, "--apply")
    migrate(capsys, "--apply")
    assert provider.create_knowledge_base.call_count == 1
    persona.refresh_from_db()
    assert persona.version == 2


def test_a_persona_without_a_match_stays_until_one_is_chosen(
    persona: Persona, target: ProviderAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    other = AvatarFactory.create(account=target, name="Amara", provider_avatar_id="new-amara")
    persona.avatar.name = "Somebody of our own"
    persona.avatar.save()
    assert "stays   Lucía: No match for Somebody of our own" in migrate(capsys)
    migrate(capsys, "--apply")
    persona.refresh_from_db()
    assert (persona.avatar.account.name, persona.version) == ("HeyGen", 1)
    migrate(capsys, "--apply", f"--avatar={persona.avatar.provider_avatar_id}=new-amara")
    persona.refresh_from_db()
    assert persona.avatar == other


def test_a_provider_error_moves_no_persona(
    persona: Persona, target: ProviderAccount, provider: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.create_knowledge_base.side_effect = ProviderUnreachable("ReadTimeout")
    with pytest.raises(CommandError, match="No persona was moved"):
        migrate(capsys, "--apply")
    persona.refresh_from_db()
    assert persona.avatar.account.name == "HeyGen"


@pytest.mark.parametrize(
    "args",
    [
        ("HeyGen", "HeyGen"),
        ("HeyGen", "Nobody"),
        ("HeyGen", "LiveAvatar", "--voice=a=b"),
        ("HeyGen", "LiveAvatar", "--voice=a"),
    ],
)
def test_unknown_arguments_are_refused(persona: Persona, target: ProviderAccount, args: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("migrate_provider", *args)


def test_avatars_match_by_preview(target: ProviderAccount) -> None:
    old = AvatarFactory.create(name="One", preview="previews/1-0123456789abcdef.png")
    new = AvatarFactory.create(account=target, name="Other", preview="previews/2-0123456789abcdef.png")
    PersonaFactory.create(avatar=old)
    (match,) = [match for match in migration.plan(old.account, target).matches if match.kind == "avatar"]
    assert match.new == new


def test_staff_preview_choose_and_move_on_one_page(
    persona: Persona, target: ProviderAccount, admin_client: Client
) -> None:
    page = f"/admin/avatars/provideraccount/{persona.avatar.account_id}/migrate/"
    assert admin_client.get(page).status_code == 200
    looked = admin_client.get(page, {"target": target.pk}, headers={"accept-language": "en"}).content.decode()
    assert "LUCIA" in looked
    assert "to be copied" in looked
    chosen = AvatarFactory.create(account=target, name="Amara")
    choice = {"target": str(target.pk), f"avatar-{persona.avatar_id}": str(chosen.pk)}
    admin_client.post(page, choice)
    persona.refresh_from_db()
    assert persona.version == 1  # looked only
    response = admin_client.post(page, choice | {"apply": ""}, follow=True, headers={"accept-language": "en"})
    assert "Lucía was moved, version 2" in response.content.decode()
    persona.refresh_from_db()
    assert persona.avatar == chosen


def test_moving_personas_needs_permission_to_change_accounts(persona: Persona, client: Client) -> None:
    assert client.get(f"/admin/avatars/provideraccount/{persona.avatar.account_id}/migrate/").status_code in (302, 403)
