"""Libraries, documents, written answers and questions over the REST API."""

from __future__ import annotations

import hashlib
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from httpx import AsyncClient, Response

from avatars.documents import intake, jobs, unanswered
from avatars.models import Library, ModelService
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.trail.models import AuditEntry
from tests.avatars.documents.files import SCAN, pdf
from tests.support.api import client, client_of, new_secret
from tests.support.factories import ModelServiceFactory, PersonaFactory

pytestmark = pytest.mark.django_db(transaction=True)

BOTH = (Scope.LIBRARIES_READ, Scope.LIBRARIES_WRITE)
PRICES = b"# Tickets\n\nA ticket costs 12.50 euros."


async def add_library(api: AsyncClient, name: str = "Museum") -> str:
    created = await api.post("libraries", json={"name": name, "language": "en"})
    assert created.status_code == 201
    return f"libraries/{created.json()['id']}"


async def upload(api: AsyncClient, address: str, name: str, content: bytes) -> Response:
    """Upload a file, and read it as the worker does."""
    with patch.object(jobs.read_document, "delay") as send:
        headers = {"Content-Type": "application/octet-stream"}
        answer = await api.post(address, params={"name": name}, content=content, headers=headers)
    for call in send.call_args_list:
        await sync_to_async(intake.read)(*call.args)
    return answer


async def test_a_file_is_uploaded_read_replaced_and_withdrawn() -> None:
    async with client_of(roles.EDITOR, *BOTH) as (api, owner):
        library = await add_library(api)
        uploaded = await upload(api, f"{library}/documents", "prices.md", PRICES)
        assert (uploaded.status_code, uploaded.json()["newest"]["state"]) == (201, "waiting")
        address = f"documents/{uploaded.json()['id']}"
        read = (await api.get(address)).json()
        newest = read["newest"]
        assert (newest["state"], newest["passages"], newest["from_version"]) == ("ready", 1, 1)
        assert newest["fingerprint"] == hashlib.sha256(PRICES).hexdigest()
        [passage] = (await api.get(f"{address}/versions/1/passages")).json()["items"]
        assert (passage["heading"], passage["text"]) == ("Tickets", "A ticket costs 12.50 euros.")
        found = (await api.post(f"{library}/search", json={"question": "What does a ticket cost?"})).json()
        assert [(each["text"], each["is_used"]) for each in found["passages"]] == [(passage["text"], True)]

        await upload(api, f"{address}/versions", "prices.md", PRICES.replace(b"12.50", b"13"))
        versions = (await api.get(f"{address}/versions")).json()["items"]
        assert [(each["number"], each["until_version"]) for each in versions] == [(2, None), (1, 2)]
        [listed] = (await api.get(f"{library}/documents")).json()["items"]
        assert listed["newest"]["number"] == 2

        withdrawn = (await api.post(f"{address}/withdraw")).json()
        assert (withdrawn["newest"]["state"], (await api.post(f"{address}/withdraw")).json()) == (
            "withdrawn",
            withdrawn,
        )
        [passage] = (await api.get(f"{address}/versions/2/passages")).json()["items"]
        assert (passage["text"], passage["heading"]) == ("", "")
        refused = await upload(api, f"{address}/versions", "prices.md", PRICES)
        assert (refused.status_code, refused.json()["code"]) == (409, "document_withdrawn")
    entries = AuditEntry.objects.filter(kind=AuditEntry.Kind.LIBRARY_CHANGED, by=owner)
    assert await entries.acount() == 4  # the library, two files, and their end


async def test_pages_and_files_that_cannot_be_read_are_named() -> None:
    async with client_of(roles.EDITOR, *BOTH) as (api, _owner):
        documents = f"{await add_library(api)}/documents"
        scanned = (await upload(api, documents, "rules.pdf", pdf(["No dogs are allowed here."], SCAN))).json()
        newest = (await api.get(f"documents/{scanned['id']}")).json()["newest"]
        assert (newest["pages"], newest["unreadable_pages"]) == (2, [{"page": 2, "reason": "scan"}])
        broken = (await upload(api, documents, "rules.pdf", b"no pdf")).json()
        newest = (await api.get(f"documents/{broken['id']}")).json()["newest"]
        assert (newest["state"], newest["failure"]) == ("failed", "damaged")
        assert newest["failure_text"]


async def test_what_is_no_file_for_a_library_is_refused() -> None:
    async with client_of(roles.EDITOR, *BOTH) as (api, _owner):
        documents = f"{await add_library(api)}/documents"
        assert (await upload(api, documents, "virus.exe", b"MZ")).json()["code"] == "document_refused"
        large = await upload(api, documents, "large.txt", b"x" * (16 * 1024 * 1024 + 1))
        assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
        form = await api.post(documents, params={"name": "a.txt"}, files={"file": b"Hello"})
        assert (form.status_code, form.json()["title"]) == (415, "Send the body as application/octet-stream.")
        assert (await upload(api, documents, "", b"Hello")).status_code == 422
        assert (await upload(api, "libraries/99/documents", "a.txt", b"Hello")).status_code == 404
        assert (await api.get(documents)).json()["items"] == []
        same_name = {"name": "Museum", "language": "en"}
        assert (await api.post("libraries", json=same_name)).json()["code"] == "library_refused"
        unknown = {"name": "Other", "language": "xx"}
        assert (await api.post("libraries", json=unknown)).json()["errors"][0]["at"] == "body.language"


async def test_answers_are_written_changed_and_deleted_and_close_a_question() -> None:
    async with client_of(roles.EDITOR, *BOTH, Scope.QUESTIONS_READ) as (api, _owner):
        library, other = await add_library(api), await add_library(api, "Other")
        library_id = int(library.rpartition("/")[2])
        for question in ("Are dogs allowed?", "Where is the moon?"):
            await sync_to_async(unanswered.record)(library_id, question, "en", uuid4())
        moon, dogs = (await api.get(f"{library}/questions")).json()["items"]
        assert (dogs["wording"], dogs["times"], dogs["closed_at"]) == ("Are dogs allowed?", 1, None)
        body: dict[str, Any] = {"wordings": [dogs["wording"], "Are dogs allowed?"], "answer": "Only guide dogs."}
        assert (await api.post(f"{other}/answers", json=body | {"question": dogs["id"]})).status_code == 404
        written = (await api.post(f"{library}/answers", json=body | {"question": dogs["id"]})).json()
        assert (written["wordings"], written["language"]) == (["Are dogs allowed?"], "en")
        for _ in range(2):
            assert (await api.post(f"{library}/questions/{moon['id']}/dismiss")).status_code == 200
        assert (await api.get(f"{library}/questions", params={"is_closed": False})).json()["items"] == []
        found = await api.post(f"{library}/search", json={"question": "Are dogs allowed?"})
        assert found.json()["written_answer"] == written["id"]

        address = f"{library}/answers/{written['id']}"
        assert (await api.put(address, json=body | {"answer": "No."})).json()["answer"] == "No."
        assert (await api.put(address, json=body | {"answer": " \n"})).status_code == 422
        assert (await api.get(f"{other}/answers/{written['id']}")).status_code == 404
        assert (await api.delete(address)).status_code == 204
        assert (await api.get(address)).status_code == 404


async def test_what_people_asked_is_for_those_who_answer_it() -> None:
    """Writing to a library does not read it, and an auditor's role has no questions."""
    async with client_of(roles.EDITOR, *BOTH) as (api, _owner):
        library = await add_library(api)
        assert (await api.get(f"{library}/questions")).json()["scopes"] == ["questions:read"]
    async with client_of(roles.AUDITOR, Scope.LIBRARIES_READ, Scope.QUESTIONS_READ) as (api, _owner):
        assert (await api.get(library)).status_code == 200
        assert (await api.get(f"{library}/questions")).json()["code"] == "scope_missing"


async def test_a_test_key_changes_no_library_of_a_model_that_costs_money() -> None:
    async with client_of(roles.EDITOR, *BOTH) as (api, owner):
        library = await add_library(api)
        secret = await sync_to_async(new_secret)(owner, BOTH, is_test=True)
        row = await Library.objects.aget()
        service: ModelService = await sync_to_async(ModelServiceFactory.create)(base_url="https://api.example.com/v1")
        async with client(secret) as tests:
            settings = {"name": "Tests", "language": "en"}
            assert (await tests.put(library, json=settings)).status_code == 200
            await sync_to_async(PersonaFactory.create)(published=True, brain="own", library=row, model_service=service)
            refused = [
                await tests.put(library, json=settings),
                await upload(tests, f"{library}/documents", "a.txt", PRICES),
                await tests.post(f"{library}/answers", json={"wordings": ["Why?"], "answer": "So."}),
            ]
            assert [answer.json()["code"] for answer in refused] == ["test_key"] * 3
            assert (await tests.get(library)).json()["name"] == "Tests"
