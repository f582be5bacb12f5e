"""Staff manage documents on the page of their library."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from avatars.documents import intake, jobs, unanswered
from avatars.models import Chunk, Document, DocumentVersion, Library, UnansweredQuestion, WrittenAnswer
from heygen_portal.people.access import roles
from tests.avatars.documents.files import SCAN, pdf
from tests.support.factories import UserFactory, sync_roles

pytestmark = pytest.mark.django_db(transaction=True)

ENGLISH = {"accept-language": "en"}


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files at once."""
    monkeypatch.setattr(jobs.read_document, "delay", intake.read)


@pytest.fixture
def page() -> str:
    return f"/admin/avatars/library/{Library.objects.create(name='Account help', language='en').pk}/documents/"


def staff(role: roles.Role) -> Client:
    sync_roles()
    user, client = UserFactory.create(is_staff=True), Client()
    user.groups.add(Group.objects.get(name=role.group))
    client.force_login(user)
    return client


def post(client: Client, page: str, **sent: Any) -> str:
    return shown(client.post(page, sent, headers=ENGLISH, follow=True))


def shown(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def file(name: str, content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_a_library_is_made_and_opened(admin_client: Client) -> None:
    admin_client.post("/admin/avatars/library/add/", {"name": "Help", "language": "en"})
    library = Library.objects.get()
    assert "Help" in shown(admin_client.get("/admin/avatars/library/", headers=ENGLISH))
    assert "There are no documents yet." in shown(
        admin_client.get(f"/admin/avatars/library/{library.pk}/documents/", headers=ENGLISH)
    )


def test_several_files_are_uploaded_and_each_says_what_became_of_it(admin_client: Client, page: str) -> None:
    files = [
        file("Guide.pdf", pdf(["The deposit is 100 euros."], SCAN)),
        file("Broken.pdf", b"no PDF"),
        file("virus.exe", b"MZ"),
    ]
    html = post(admin_client, page, upload="1", files=files)
    assert "2 files are being read." in html
    assert "virus.exe: This kind of file cannot be read." in html
    assert "damaged or not what its name says" in html
    assert "have no text or are damaged: page 2" in html
    document = Document.objects.get(title="Guide")
    preview = shown(admin_client.get(page, {"document": document.pk}, headers=ENGLISH))
    assert "The deposit is 100 euros." in preview
    assert "page 1" in preview


def test_a_test_question_shows_passages_with_their_match(admin_client: Client, page: str) -> None:
    post(admin_client, page, upload="1", files=[file("Terms.txt", b"The deposit is 100 euros.\n\n" * 3)])
    html = shown(admin_client.get(page, {"q": "How much is the deposit?"}, headers=ENGLISH))
    assert "The deposit is 100 euros." in html
    assert "of 100" in html
    assert "No passage was found." in shown(admin_client.get(page, {"q": "volcano"}, headers=ENGLISH))


def test_a_document_is_replaced_and_withdrawn(admin_client: Client, page: str) -> None:
    post(admin_client, page, upload="1", files=[file("Terms.txt", b"The deposit is 100 euros.")])
    document = Document.objects.get()
    post(admin_client, page, replace=document.pk, file=file("Terms 2.txt", b"The deposit is 150 euros."))
    assert DocumentVersion.objects.filter(from_version__isnull=False, until_version=None).get().number == 2
    assert "Its text was erased." in post(admin_client, page, withdraw=document.pk)
    assert set(Chunk.objects.values_list("text", flat=True)) == {""}


def test_an_unanswered_question_gets_an_answer_or_is_closed(admin_client: Client, page: str) -> None:
    library = Library.objects.get()
    for asked in ("Can I pay my bill in instalments?", "Who won the election?"):
        unanswered.record(library.pk, asked, "en", uuid4())
    first, second = UnansweredQuestion.objects.order_by("pk")
    html = post(
        admin_client, page, answer="Yes, in three.", wordings=f"{first.wording}\n\nIn parts?", question=first.pk
    )
    assert "used at once" in html
    assert WrittenAnswer.objects.get().wordings == ["Can I pay my bill in instalments?", "In parts?"]
    assert "Who won the election?" in html
    assert "Who won the election?" not in post(admin_client, page, close=second.pk)
    answer = WrittenAnswer.objects.get()
    assert "at most 1000 characters" in post(admin_client, page, answer="x" * 5001, wordings="a", written=answer.pk)
    post(admin_client, page, answer="No.", wordings="In parts?", written=answer.pk)
    assert WrittenAnswer.objects.get().answer == "No."
    post(admin_client, page, delete_answer=answer.pk)
    assert not WrittenAnswer.objects.exists()


def test_those_who_may_not_change_a_library_see_no_questions_and_change_nothing(page: str) -> None:
    unanswered.record(Library.objects.get().pk, "Who won the election?", "en", uuid4())
    operator = staff(roles.OPERATOR)
    assert "election" not in shown(operator.get(page, headers=ENGLISH))
    assert operator.post(page, {"upload": "1", "files": [file("a.txt", b"Text")]}).status_code == 403
    assert not Document.objects.exists()
    assert "election" in shown(staff(roles.EDITOR).get(page, headers=ENGLISH))


def test_a_document_of_another_library_is_not_found(admin_client: Client, page: str) -> None:
    post(admin_client, page, upload="1", files=[file("Terms.txt", b"The deposit is 100 euros.")])
    other = Library.objects.create(name="Other")
    path = f"/admin/avatars/library/{other.pk}/documents/"
    assert admin_client.post(path, {"withdraw": Document.objects.get().pk}).status_code == 404
    assert admin_client.get(path, {"document": Document.objects.get().pk}).status_code == 404
