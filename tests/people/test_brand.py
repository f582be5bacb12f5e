"""Administrators choose the brand, on record; mail, languages and exports follow it."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any
from zipfile import ZipFile

import pytest
from django.contrib.auth.models import Group, User
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from heygen_portal.branding import current as brands
from heygen_portal.models import Organisation
from heygen_portal.people.access import roles
from heygen_portal.people.mail import outgoing
from heygen_portal.people.organisation import changes
from heygen_portal.people.preferences import languages
from heygen_portal.trail.change_log import SERVER
from heygen_portal.trail.models import AuditEntry
from sessions.exports import list_export, session_export
from sessions.integrity import audit_statements, verification
from sessions.models import Export
from sessions.personal_data import contents
from tests.branding.test_pictures import SVG, drawn
from tests.support.factories import EndUserFactory, PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db

ALL_LANGUAGES = ["es", "en"]


def choose(client: Client, **fields: Any) -> Any:
    """Save the organisation's page."""
    organisation = Organisation.objects.get()
    posted = {"name": organisation.name, "offered": [code for code, _name in brands.current().languages]}
    path = f"/admin/heygen_portal/organisation/{organisation.pk}/change/"
    response = client.post(path, posted | fields, headers={"accept-language": "en"})
    brands.forget()  # the test's transaction does not commit
    return response


def upload(content: bytes, name: str = "../../logo.php") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, "image/png")


def shown(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_the_whole_brand_is_saved_on_record_and_shown(admin_client: Client, client: Client) -> None:
    persona = PersonaFactory.create(published=True)
    assert audit_statements.upgrade()
    saved = choose(
        admin_client,
        portal_name="  Aurora\nhabla ",
        logo_file=upload(drawn((200, 100))),
        icon_file=upload(drawn((64, 64))),
        accent="#8A1F5C",
        accent_dark="#e7a9cc",
        mail_name="Recepción",
        mail_address="hola@aurora.test",
        offered=["en"],
        default_persona=persona.pk,
    )
    assert saved.status_code == 302
    organisation = Organisation.objects.get()
    assert (organisation.portal_name, organisation.accent, organisation.languages) == (
        "Aurora habla",
        "#8a1f5c",
        ["en"],
    )
    entry = AuditEntry.objects.get(kind=AuditEntry.Kind.ORGANISATION_CHANGED)
    assert entry.by is not None
    changed = {
        "portal_name", "logo", "icon", "accent", "accent_dark", "mail_name", "mail_address", "languages",
        "default_persona",
    }  # fmt: skip
    assert changed == set(entry.data) - {"rows"}
    assert entry.data["logo"] == ["", organisation.logo]
    assert list(verification.faults()) == []
    assert client.get(f"/brand/{organisation.logo}.png").status_code == 200
    assert choose(admin_client, **{"logo_file-clear": "on"}).status_code == 302
    assert (Organisation.objects.get().logo, Organisation.objects.get().icon) == ("", organisation.icon)
    assert client.get(f"/brand/{organisation.logo}.png").status_code == 404


def test_the_process_that_stores_a_change_shows_it_at_once(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    organisation = Organisation.objects.get()
    organisation.portal_name = "Aurora"
    with django_capture_on_commit_callbacks(execute=True):
        changes.store(organisation, SERVER)
        assert brands.current().name == "HeyGen Portal"
    assert brands.current().name == "Aurora"


def test_a_brand_that_sql_changed_is_named() -> None:
    assert audit_statements.upgrade()
    Organisation.objects.update(logo="0" * 64)
    assert [(fault.table, fault.column) for fault in verification.faults()] == [("organisation", "logo")]


@pytest.mark.parametrize(
    ("field", "colour", "words"),
    [
        ("accent", "#7bd0e4", "#7bd0e4 on light recessed areas (#eceae4) has a contrast of 1.45:1."),
        ("accent", "#0f6f8a", ""),
        ("accent_dark", "#0b5b70", "#0b5b70 on buttons beside the avatar (#2b383e) has a contrast of 1.57:1."),
        ("accent", "teal", "Enter a colour as # and six digits"),
        ("accent", "#fff;}", "Enter a colour as # and six digits"),
    ],
)
def test_a_colour_that_cannot_be_read_is_refused_with_the_pair_and_both_ratios(
    admin_client: Client, field: str, colour: str, words: str
) -> None:
    response = choose(admin_client, **{field: colour})
    if not words:
        assert response.status_code == 302
        return
    page = shown(response)
    assert words in page
    if colour.startswith("#") and len(colour) == 7:
        assert "Text needs at least 4.5:1 (WCAG AA)." in page
    assert getattr(Organisation.objects.get(), field) == ""


@pytest.mark.parametrize("content", [SVG, b"GIF89a" + bytes(64), drawn((9, 9)) + bytes(500_000)], ids=len)
def test_a_refused_picture_is_explained_and_recorded(admin_client: Client, content: bytes) -> None:
    page = shown(choose(admin_client, logo_file=upload(content)))
    why = {SVG[:4]: "SVG", b"GIF8": "PNG, JPEG", b"\x89PNG": "400 KB"}[content[:4]]
    assert why in page
    assert Organisation.objects.get().logo == ""
    entry = AuditEntry.objects.get(kind=AuditEntry.Kind.PICTURE_REFUSED)
    assert entry.by is not None
    assert entry.data["what"] == "logo"
    assert entry.data["reason"] in ("svg", "unreadable", "too_large")
    if len(content) < 400_000:
        assert entry.data["hash"] == hashlib.sha256(content).hexdigest()
    assert list(verification.faults()) == []


def test_at_least_one_language_is_offered(admin_client: Client) -> None:
    assert "Offer at least one language." in shown(choose(admin_client, offered=[]))
    choose(admin_client, offered=ALL_LANGUAGES)
    assert Organisation.objects.get().languages in ([], ALL_LANGUAGES)


def test_pages_and_mail_use_only_languages_that_are_offered(client: Client) -> None:
    spanish = {"accept-language": "es-MX,es;q=0.9,fr;q=0.8,en;q=0.2"}
    ines = UserFactory.create()
    languages.remember(ines.pk, "es")
    assert 'lang="es"' in client.get("/accounts/login/", headers=spanish).content.decode()
    Organisation.objects.update(languages=["en"])
    brands.forget()
    shown_page = client.get("/accounts/login/", headers=spanish).content.decode()
    assert '<html lang="en">' in shown_page
    assert 'name="language"' not in shown_page  # there is nothing to choose
    client.post("/language/", {"language": "es"})
    assert '<html lang="en">' in client.get("/accounts/login/", headers=spanish).content.decode()
    assert languages.of(ines) == "en"
    languages.remember(ines.pk, "es")
    Organisation.objects.update(languages=[])
    brands.forget()
    assert languages.of(ines) == "es"


def test_the_administration_offers_the_same_languages(admin_client: Client) -> None:
    Organisation.objects.update(languages=["en"])
    brands.forget()
    assert 'value="es"' not in admin_client.get("/admin/").content.decode()
    Organisation.objects.update(languages=[])
    brands.forget()
    assert 'name="language" type="hidden" value="es"' in admin_client.get("/admin/").content.decode()


def test_the_default_persona_is_first_and_stands_out(client: Client) -> None:
    names = ("Ana", "Zoe")
    personas = {name: PersonaFactory.create(published=True, name=name, slug=name.lower()) for name in names}
    client.force_login(EndUserFactory.create())
    assert "btn--primary" not in client.get("/").content.decode().split("<main")[1]
    Organisation.objects.update(default_persona=personas["Zoe"])
    brands.forget()
    page = client.get("/").content.decode()
    assert page.index("/personas/zoe/") < page.index("/personas/ana/")
    assert 'class="btn btn--primary" href="/personas/zoe/"' in page
    assert 'class="btn btn--soft" href="/personas/ana/"' in page


def test_only_published_personas_can_be_the_default(admin_client: Client) -> None:
    draft = PersonaFactory.create()
    assert choose(admin_client, default_persona=draft.pk).status_code == 200
    assert Organisation.objects.get().default_persona is None


def test_every_mail_has_the_brands_name_and_sender(
    admin_client: Client, settings: Settings, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    settings.EMAIL_HOST = "mail.test"
    group = Group.objects.get(name=roles.END_USER.group)
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post("/admin/heygen_portal/invitation/add/", {"email": "a@example.org", "group": group.pk})
    Organisation.objects.update(portal_name="Clínica, “Aurora”", mail_address="hola@aurora.test")
    brands.forget()
    User.objects.create_user("ines", "ines@example.org", "wj3-longer-than-most")
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post("/admin/heygen_portal/invitation/add/", {"email": "b@example.org", "group": group.pk})
        Client().post("/accounts/password/reset/", {"email": "ines@example.org"})
    before, invitation, reset = mail.outbox
    assert before.from_email == "HeyGen Portal <portal@localhost>"
    assert before.subject == "Invitación a HeyGen Portal"
    assert "te invita a HeyGen Portal" in before.body
    assert invitation.subject == "Invitación a Clínica, “Aurora”"
    assert "te invita a Clínica, “Aurora”, " in invitation.body
    assert reset.subject.startswith("Clínica, “Aurora” · ")
    for letter in (invitation, reset):
        sent = letter.message()
        (address,) = sent["From"].addresses if hasattr(sent["From"], "addresses") else [sent["From"]]
        assert "hola@aurora.test" in str(address)
        assert "HeyGen" not in sent.as_string()


def test_the_senders_name_may_differ_from_that_of_the_portal(settings: Settings) -> None:
    settings.DEFAULT_FROM_EMAIL = "Servicio <servicio@aurora.test>"
    assert outgoing.sender() == "Servicio <servicio@aurora.test>"
    Organisation.objects.update(portal_name="Aurora", mail_name="Recepción")
    brands.forget()
    assert outgoing.sender().endswith(" <servicio@aurora.test>")
    assert outgoing.sender().startswith("=?utf-8?")
    assert outgoing.subject("Hola") == "Aurora · Hola"


def test_every_export_names_the_portal() -> None:
    session: Any = StreamingSessionFactory.create(persona__name="Lucía")
    session.utterances.create(who="user", by="text", text="Hola", source="portal")
    staff = UserFactory.create()
    Organisation.objects.update(portal_name="Aurora & Söhne -->")
    brands.forget()
    listed = list_export.request_export(staff.pk, None, Export.What.SESSIONS, Export.Format.XLSX)
    with ZipFile(io.BytesIO(b"".join(list_export.stream(listed)))) as book:
        assert "<dc:creator>Aurora &amp; Söhne --&gt;</dc:creator>" in book.read("docProps/core.xml").decode()
        assert "&amp;LAurora &amp;&amp;&amp;&amp; Söhne" not in book.read("xl/worksheets/sheet1.xml").decode()
        assert "&amp;LAurora &amp;&amp; Söhne --&gt;&amp;R&amp;D" in book.read("xl/worksheets/sheet1.xml").decode()
    captions = b"".join(session_export.as_captions(session)).decode()
    assert "\n\nNOTE Aurora &amp; Söhne --&gt;\n\n1\n" in captions
    record = list_export.request_export(staff.pk, None, Export.What.RECORD, Export.Format.JSON, session=session)
    assert json.loads(b"".join(session_export.as_json(record, session)))["export"]["portal"] == "Aurora & Söhne -->"
    assert json.loads(b"".join(contents.as_json(staff)))["portal"] == "Aurora & Söhne -->"
