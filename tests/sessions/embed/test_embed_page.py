from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from heygen_portal.people.access import roles
from heygen_portal.trail.models import AuditEntry
from sessions.integrity import audit_statements, verification
from sessions.models import GuestLink, PersonaEmbed
from tests.support.factories import PersonaFactory, UserFactory

pytestmark = pytest.mark.django_db

FORM = {
    "save": "1",
    "is_enabled": "on",
    "sites": "https://www.examplia.test\nHTTPS://help.examplia.test/",
    "bubble_text": 'Ask "Daniel" <now>',
    "side": "left",
    "visit_limit": "00:08:00",
    "conversations_per_device": "3",
    "conversations_per_network": "30",
    "conversations_per_day": "300",
    "credits_per_day": "12.5",
    "challenge": "busy",
}


@pytest.fixture
def editor(client: Client) -> Client:
    user = UserFactory.create(is_staff=True)
    user.groups.add(Group.objects.get(name=roles.EDITOR.group))
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def path_of(persona: Any) -> str:
    return f"/admin/avatars/persona/{persona.pk}/embed/"


def test_staff_embed_a_persona_and_every_change_is_in_the_audit_log(editor: Client) -> None:
    persona = PersonaFactory.create(published=True)
    assert "avatar-chat persona" not in editor.get(path_of(persona), follow=True).content.decode()
    assert editor.post(path_of(persona), FORM).status_code == 302
    embed = PersonaEmbed.objects.get(persona=persona)
    assert embed.origins == ["https://www.examplia.test", "https://help.examplia.test"]
    page = editor.get(path_of(persona), follow=True).content.decode()
    assert "/embed.js" in page
    snippet = (
        f"&lt;avatar-chat persona=&quot;{embed.public_id}&quot; label=&quot;Ask &amp;quot;Daniel&amp;quot; &amp;lt;now"
    )
    assert snippet in page
    entry = AuditEntry.objects.get(kind="embed_changed")
    assert entry.data["origins"] == ["", "https://www.examplia.test, https://help.examplia.test"]
    editor.post(path_of(persona), FORM | {"sites": "https://www.examplia.test"})
    last = AuditEntry.objects.filter(kind="embed_changed").latest("number")
    assert {name for name, value in last.data.items() if isinstance(value, list)} == {"origins"}


@pytest.mark.parametrize("sites", ["", "https://*.examplia.test", "https://ok.test http://plain.test"])
def test_bad_sites_are_named_and_nothing_is_stored(editor: Client, sites: str) -> None:
    persona = PersonaFactory.create(published=True)
    page = editor.post(path_of(persona), FORM | {"sites": sites})
    assert page.status_code == 200
    assert 'role="alert"' in page.content.decode()
    assert not PersonaEmbed.objects.exists()


def test_a_draft_is_deleted_with_its_embed_and_links_and_the_record_knows(admin_client: Client) -> None:
    persona = PersonaFactory.create()
    assert audit_statements.upgrade()
    admin_client.post(path_of(persona), {"add_link": "1", "link-label": "Fair", "link-days": "7", "link-max_uses": "5"})
    assert GuestLink.objects.exists()
    admin_client.post(f"/admin/avatars/persona/{persona.pk}/delete/", {"post": "yes"})
    assert not PersonaEmbed.objects.exists()
    assert [fault for fault in verification.faults() if fault.table in ("persona", "persona_embed", "guest_link")] == []


def test_staff_create_and_withdraw_a_link(editor: Client) -> None:
    persona = PersonaFactory.create(published=True)
    form = {"add_link": "1", "link-label": "Trade fair", "link-days": "7", "link-max_uses": "50", "link-is_kiosk": "on"}
    assert editor.post(path_of(persona), form).status_code == 302
    link = GuestLink.objects.get()
    assert (link.label, link.max_uses, link.is_kiosk, link.embed.is_enabled) == ("Trade fair", 50, True, False)
    page = editor.get(path_of(persona), follow=True).content.decode()
    assert "data:image/svg+xml" in page
    assert f"/embed/link/{link.code}." in page
    editor.post(path_of(persona), {"revoke": str(link.pk)})
    editor.post(path_of(persona), {"revoke": str(link.pk)})  # twice
    link.refresh_from_db()
    assert link.revoked_at
    assert AuditEntry.objects.filter(kind="guest_link_changed").count() == 2
    other = PersonaFactory.create(published=True)
    editor.post(path_of(other), {"revoke": str(link.pk)})  # of another persona: nothing happens
