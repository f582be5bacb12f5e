"""Check each address, socket message and admin action as each role."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from copy import deepcopy
from typing import Any
from unittest.mock import AsyncMock, Mock, PropertyMock

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.http import HttpResponse
from django.template import loader
from django.template.response import SimpleTemplateResponse
from django.test import Client, RequestFactory, override_settings
from django.test.client import MULTIPART_CONTENT
from django.urls import reverse

from heygen_portal import asgi, providers
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.providers.contract.provider import NotSent, Provider
from sessions.embed.guest_consumer import SUBPROTOCOL
from tests.access.addresses import addresses, expected, path_of
from tests.access.matrix import ACTIONS, MODELS, SOCKETS, UNANSWERED_MESSAGES, Page
from tests.access.rows import SITE, Rows, make_member
from tests.support.api import new_secret
from tests.timeouts import WAIT_TIMEOUT_S

ROLE_LETTERS = "sgueoam"
WITHOUT_ACCOUNT = "sg"


@pytest.fixture(autouse=True)
def no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip rendering and calls to providers.

    Permissions can be checked without them.
    """
    monkeypatch.setattr(SimpleTemplateResponse, "rendered_content", PropertyMock(return_value=""))
    monkeypatch.setattr(loader, "render_to_string", lambda *args, **kwargs: "")
    monkeypatch.setattr(admin.site, "each_context", lambda request: {})  # the frame around pages
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)  # a traceback for each refusal
    away = Mock(spec=Provider)
    for name in ("list_sessions", "list_avatars", "list_voices", "list_knowledge_bases", "credits", "past_sessions"):
        setattr(away, name, AsyncMock(side_effect=NotSent("nowhere")))
    monkeypatch.setattr(providers, "for_account", lambda account: away)
    monkeypatch.setattr(
        "avatars.catalogue.voice_samples.find", lambda voice: Mock(content=b"", content_type="audio/mpeg")
    )
    monkeypatch.setattr("avatars.videos.views.in_thread", sync_to_async)  # another thread does not see the test's rows
    monkeypatch.setattr(providers, "opened", lambda account: nullcontext(away))


@pytest.fixture(autouse=True)
def full_settings() -> Iterator[None]:
    """Enable mail and single sign-on, so that their pages exist."""
    app = {"provider_id": "sso", "client_id": "x", "secret": "x", "settings": {"server_url": "http://127.0.0.1:1"}}
    directory = {"openid_connect": {"APPS": [app]}}
    with override_settings(EMAIL_HOST="mail.test", SOCIALACCOUNT_PROVIDERS=directory):
        yield


# What there is


def test_the_matrix_lists_exactly_the_existing_addresses() -> None:
    entries, there = {name for name, _ in expected().values()}, set(addresses())
    assert sorted(there - entries) == []  # add a line for each to matrix.py
    assert sorted(entries - there) == []


def test_the_matrix_lists_every_model_and_action_of_the_admin() -> None:
    models, actions = set(), set()
    registered: Any = admin.site._registry
    for model, model_admin in registered.items():
        name = f"{model._meta.app_label}.{model._meta.model_name}"
        models.add(name)
        found = {each[1] for each in model_admin._get_base_actions()} - {"delete_selected"}
        actions |= {f"{name}.{action}" for action in found}
    assert models == set(MODELS)
    assert actions == {line for line in ACTIONS if not line.endswith("delete_selected")}


# Addresses


def is_open(response: HttpResponse) -> bool:
    """Return whether access was granted: not 401, 403, 404 or a redirect to sign in."""
    if response.status_code in (302, 303):
        sign_in_pages = (f"{reverse('account_login')}?", reverse("admin:login"))
        return not response["Location"].startswith(sign_in_pages)
    return response.status_code not in (401, 403, 404)


def ask(client: Client, name: str, page: Page, rows: Rows) -> bool:
    path = path_of(name, page, rows)
    data: Any = page.data
    if name.startswith("sessions:guest_") and page.method == "post":  # a guest's page sends JSON
        data = json.dumps({"visit": rows.visit, "origin": SITE})
    kind = "application/json" if isinstance(data, str) else MULTIPART_CONTENT
    with transaction.atomic():
        response: Any = (
            client.post(path, data, content_type=kind) if page.method == "post" else client.get(path, page.data)
        )
        transaction.set_rollback(True)
    for close in response._resource_closers:  # not response.close(), which closes the database too
        close()
    assert response.status_code != 500, path
    return is_open(response)


@pytest.mark.django_db
@pytest.mark.parametrize("letter", ROLE_LETTERS)
def test_each_role_opens_exactly_its_addresses(letter: str) -> None:
    user = None if letter in WITHOUT_ACCOUNT else make_member(letter)
    # As a browser sends it from the portal's own pages.
    client, wrong = Client(headers={"origin": "http://testserver"}), []
    rows = Rows(user, is_guest=letter == "g")
    if letter == "s":  # an API key opens no page
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {key_of_an_administrator()}"
    if user:
        client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    signed_in = client.cookies
    for line, (name, page) in expected().items():
        client.cookies = deepcopy(signed_in)  # what one page did to it is gone, as its work in the database is
        if ask(client, name, page, rows) != (letter in page.who):
            wrong.append(f"{line}: {'shut' if letter in page.who else 'open'}")
    assert wrong == []


def key_of_an_administrator() -> str:
    return new_secret(make_member("m"), Scope)


@pytest.mark.django_db
@pytest.mark.parametrize("letter", ROLE_LETTERS)
def test_each_role_is_offered_exactly_its_actions(letter: str) -> None:
    """Django only runs posted actions that the list offers."""
    request = RequestFactory().get("/admin/")
    request.user = AnonymousUser() if letter in WITHOUT_ACCOUNT else make_member(letter)
    offered = {
        f"{model._meta.app_label}.{model._meta.model_name}.{action}"
        for model, model_admin in admin.site._registry.items()
        if model_admin.has_view_or_change_permission(request)
        for action in model_admin.get_actions(request)
    }
    assert offered == {action for action, who in ACTIONS.items() if letter in who}


# Sockets


def sockets() -> dict[str, Any]:
    routes: Any = asgi.websocket.routes
    return {str(route.pattern): route.callback.consumer_class for route in routes}


def test_the_matrix_lists_every_socket_and_message() -> None:
    there = {route: set(consumer.HANDLERS) for route, consumer in sockets().items()}
    assert there == {route: set(messages) for route, (_, messages) in SOCKETS.items()}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("letter", ROLE_LETTERS)
async def test_each_role_may_send_exactly_its_messages(letter: str) -> None:
    headers, own, protocols = await sync_to_async(_credentials)(letter)
    wrong = []
    for route, (who, messages) in SOCKETS.items():
        path = "/" + route.replace("<slug:persona>", "lucia").replace("<slug:public_id>", "lucias-embed")
        tab = WebsocketCommunicator(asgi.application, path, headers=headers, subprotocols=protocols)
        is_let_in, _ = await tab.connect(timeout=WAIT_TIMEOUT_S)
        if is_let_in != (letter in who):
            wrong.append(f"{route}: {'open' if is_let_in else 'shut'}")
        for kind, message in messages.items() if is_let_in else ():
            if kind in UNANSWERED_MESSAGES and letter in message.who:
                continue
            content = {key: own if value == "own" else value for key, value in message.content.items()}
            await tab.send_json_to({"type": kind, **content})
            if (await _response_code(tab, kind) != "not_found") != (letter in message.who):
                wrong.append(f"{route} {kind}")
        await tab.disconnect(timeout=WAIT_TIMEOUT_S)
    assert wrong == []


def _credentials(letter: str) -> tuple[list[tuple[bytes, bytes]], str, list[str] | None]:
    user: User | None = None if letter in WITHOUT_ACCOUNT else make_member(letter)
    rows = Rows(user, is_guest=letter == "g")
    headers = [(b"origin", b"http://localhost"), (b"host", b"localhost")]
    if user:
        client = Client()
        client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
        headers.append((b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()))
    elif letter == "s":  # an API key opens no socket
        headers.append((b"authorization", f"Bearer {key_of_an_administrator()}".encode()))
    return headers, str(rows.own.pk), [SUBPROTOCOL, rows.socket_token] if letter == "g" else None


async def _response_code(tab: WebsocketCommunicator, kind: str) -> str:
    """Return the error's code or the answer's type, ignoring changes of the board."""
    while True:
        try:
            entries: dict[str, Any] = await tab.receive_json_from(timeout=WAIT_TIMEOUT_S)
        except TimeoutError:
            pytest.fail(f"{kind} was not answered")
        if entries["type"] != "board.changed":
            return str(entries.get("code", entries["type"]))
