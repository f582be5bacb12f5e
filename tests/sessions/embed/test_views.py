from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import Resolver404, resolve
from django.utils import timezone

from avatars.models import Persona
from heygen_portal.trail.models import AuditEntry
from sessions.capacity import guests, slots
from sessions.capacity.slots import StartRequest
from sessions.embed import admission, tokens
from sessions.embed.device_cookie import NAME
from sessions.lifecycle import end_evidence, transitions
from sessions.models import EndReason, Erasure, GuestLink, PersonaEmbed, StreamingSession, Utterance
from tests.sessions.embed.visitors import SITE, ask, embed_of, link_of

pytestmark = pytest.mark.django_db

PAGE = {"origin": "http://testserver"}


def test_the_frame_is_for_the_allowed_sites_alone(client: Client) -> None:
    embed = embed_of(origins=[SITE, "https://help.examplia.test:8443"])
    page = client.get(f"/embed/{embed.public_id}/", secure=True)
    policy = dict(part.strip().partition(" ")[::2] for part in page["Content-Security-Policy"].split(";"))
    assert policy["frame-ancestors"] == f"{SITE} https://help.examplia.test:8443"
    assert "X-Frame-Options" not in page
    cookie = page.cookies[NAME]
    assert cookie["samesite"] == "None"
    assert cookie["path"] == "/"  # the socket, which is not below the page, needs it too
    assert all((cookie["secure"], cookie["httponly"], cookie["partitioned"]))
    assert "Partitioned" in cookie.OutputString()
    assert set(page.cookies) == {NAME}  # no login session, no token of a form
    assert page.wsgi_request.session.is_empty()
    text = page.content.decode()
    assert "/accounts/" not in text
    assert 'href="/' not in text.replace('href="/static/', "")  # no way into the portal
    other = client.get("/accounts/login/")
    assert "frame-ancestors 'none'" in other["Content-Security-Policy"]


def test_each_frame_has_the_sites_of_its_own_persona(client: Client) -> None:
    one, other = embed_of(), embed_of(origins=["https://other.test"])
    policies = [client.get(f"/embed/{each.public_id}/")["Content-Security-Policy"] for each in (one, other, one)]
    assert ["https://other.test" in policy for policy in policies] == [False, True, False]
    assert [SITE in policy for policy in policies] == [True, False, True]
    PersonaEmbed.objects.filter(pk=one.pk).update(origins=["https://new.test"])
    assert SITE not in client.get(f"/embed/{one.public_id}/")["Content-Security-Policy"]  # at once


def test_there_is_no_frame_of_a_persona_that_is_not_embedded(client: Client) -> None:
    embed = embed_of()
    changes: list[dict[str, Any]] = [{"is_enabled": False}, {"origins": []}]
    for change in changes:
        other = embed_of(**change)
        assert client.get(f"/embed/{other.public_id}/").status_code == 404
    Persona.objects.filter(pk=embed.persona_id).update(status=Persona.Status.DRAFT)
    assert client.get(f"/embed/{embed.public_id}/").status_code == 404
    assert client.get("/embed/no-such-id/").status_code == 404


def test_a_foreign_site_gets_an_empty_frame_and_an_entry_in_the_audit_log(client: Client) -> None:
    embed = embed_of()
    framed = {"referer": "https://evil.test/x", "sec-fetch-dest": "iframe"}
    page = client.get(f"/embed/{embed.public_id}/", headers=framed)
    assert page.status_code == 403
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert ask(client, embed, origin="https://evil.test").json()["code"] == "origin_refused"
    assert ask(client, embed, page="https://evil.test").json()["code"] == "origin_refused"
    entries = AuditEntry.objects.filter(kind="guest_refused")
    assert {(entry.data["reason"], entry.data["site"]) for entry in entries} == {
        ("origin_refused", "https://evil.test")
    }
    assert entries.count() == 3


def test_the_page_gets_a_visit_and_a_token_and_comes_back_as_the_same_guest(client: Client) -> None:
    embed = embed_of()
    first = ask(client, embed).json()
    again = ask(client, embed, visit=first["visit"]).json()
    assert again["token"] != first["token"]
    visits = [guests_id(embed, answer["visit"]) for answer in (first, again)]
    assert visits[0] == visits[1]
    assert ask(client, embed, visit="forged").json()["code"] == "token_invalid"
    embed.refresh_from_db()
    assert embed.seen_origin == SITE


def test_a_visit_is_of_one_device_and_one_persona(client: Client) -> None:
    """A visit that was copied to another browser neither talks nor erases there."""
    embed, other = embed_of(), embed_of()
    client.cookies[NAME] = "a-device"
    visit = ask(client, embed).json()["visit"]
    thief = Client()
    thief.cookies[NAME] = "another-device"
    for stranger in (thief, Client()):
        assert ask(stranger, embed, visit=visit).json()["code"] == "token_invalid"
        erased = stranger.post(
            f"/embed/{embed.public_id}/erase",
            json.dumps({"visit": visit}),
            content_type="application/json",
            headers=PAGE,
        )
        assert (erased.status_code, erased.json()["code"]) == (403, "token_invalid")
    assert ask(client, other, visit=visit).json()["code"] == "token_invalid"
    assert "token" in ask(client, embed, visit=visit).json()


def test_a_visit_ends_after_half_a_day_however_often_the_page_comes_back(client: Client) -> None:
    embed, began = embed_of(), timezone.now() - timedelta(hours=12, minutes=1)
    with time_machine.travel(began):
        first = ask(client, embed).json()["visit"]
    with time_machine.travel(began + timedelta(hours=11)):
        renewed = ask(client, embed, visit=first).json()["visit"]
        guest_id = guests_id(embed, renewed)
    assert guests_id(embed, ask(client, embed, visit=renewed).json()["visit"]) != guest_id


def test_a_guest_who_was_away_for_half_a_day_is_a_new_one(client: Client) -> None:
    embed = embed_of()
    with time_machine.travel(timezone.now() - timedelta(hours=12, minutes=1)):
        old = ask(client, embed).json()["visit"]
    new = ask(client, embed, visit=old).json()["visit"]
    with time_machine.travel(timezone.now() - timedelta(hours=12)):
        former = guests_id(embed, old)
    assert guests_id(embed, new) != former
    answer = client.post(
        f"/embed/{embed.public_id}/erase", json.dumps({"visit": old}), content_type="application/json", headers=PAGE
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "token_expired")


def guests_id(embed: PersonaEmbed, visit: str) -> Any:
    return tokens.read_visit(visit, embed.pk, "").guest_id


def test_bad_requests_are_refused(client: Client) -> None:
    embed = embed_of()
    path = f"/embed/{embed.public_id}/visit"
    for body in ("", "[1]", "{" * 50_000, "nonsense", '{"origin": 5}'):
        answer = client.post(path, body, content_type="application/json", headers=PAGE)
        assert answer.status_code in (400, 403), body
    assert client.get(path).status_code == 405


def test_a_busy_network_has_to_work_for_each_guest(client: Client) -> None:
    embed = embed_of(challenge="always")
    asked = ask(client, embed).json()
    assert (asked["code"], asked["challenge"]["bits"]) == ("challenge_needed", 14)
    seed = asked["challenge"]["seed"]
    number = next(n for n in count() if hashlib.sha256(f"{seed}.{n}".encode()).digest()[:2] < b"\x00\x04")
    wrong = {"kind": "work", "seed": seed, "number": number + 1}
    right = {"kind": "work", "seed": seed, "number": number}
    if hashlib.sha256(f"{seed}.{number + 1}".encode()).digest()[:2] >= b"\x00\x04":
        assert ask(client, embed, answer=wrong).json()["code"] == "challenge_needed"
    assert "token" in ask(client, embed, answer=right).json()
    assert ask(client, embed, answer=right).json()["code"] == "challenge_needed"  # each answer counts once
    other = embed_of(challenge="always")
    assert ask(client, other, answer=right).json()["code"] == "challenge_needed"


def test_ten_thousand_guests_from_one_address_are_stopped_by_its_budget(client: Client) -> None:
    embed = embed_of()
    answers = [ask(client, embed).status_code for _ in range(130)]
    assert answers.count(200) == 120
    last = ask(client, embed)
    assert (last.status_code, last.json()["code"]) == (429, "too_many_requests")
    assert last.json()["wait_seconds"] >= 1


def test_a_link_opens_the_page_until_it_expires_or_is_withdrawn(client: Client) -> None:
    embed = embed_of(is_enabled=False, origins=[])
    link = link_of(embed)
    signed = admission.signed_code(link)
    page = client.get(f"/embed/link/{signed}/")
    assert (page.status_code, signed in page.content.decode()) == (200, True)
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert "token" in ask(client, embed, link=signed).json()
    code, _, signature = signed.partition(".")
    assert client.get(f"/embed/link/{code}.{signature[:-2]}AA/").status_code == 404
    GuestLink.objects.update(revoked_at=timezone.now())
    assert client.get(f"/embed/link/{signed}/").status_code == 410
    assert ask(client, embed, link=signed).json()["code"] == "link_unusable"
    GuestLink.objects.update(revoked_at=None, expires_at=timezone.now())
    assert ask(client, embed, link=signed).json()["code"] == "link_unusable"


def test_a_kiosk_keeps_nothing_on_the_device(client: Client) -> None:
    embed = embed_of()
    page = client.get(f"/embed/link/{admission.signed_code(link_of(embed, is_kiosk=True))}/", secure=True)
    assert "data-kiosk" in page.content.decode()
    assert not page.cookies


def test_a_guest_erases_what_was_said_after_the_end(client: Client) -> None:
    embed = embed_of()
    visit = ask(client, embed).json()["visit"]
    admitted = tokens.read_visit(visit, embed.pk, "")
    guest = guests.admit(admitted, "192.0.2.7", has_guardian=False)
    session = slots.open_session(guest.pk, embed.persona.slug, StartRequest())
    Utterance.objects.create(session=session, who="user", by="voice", text="My secret", source="browser")
    path, body = f"/embed/{embed.public_id}/erase", json.dumps({"visit": visit})

    def erase(content: str) -> Any:
        return client.post(path, content, content_type="application/json", headers=PAGE)

    assert erase(body).status_code == 409  # still open
    assert transitions.begin_stop(session, EndReason.USER_STOPPED, end_evidence.person(guest.pk))
    transitions.end(session)
    assert erase("{}").status_code == 403
    assert erase(body).json() == {"is_erased": True}
    assert Erasure.objects.get(session=session).cause == "person"
    assert StreamingSession.objects.get(pk=session.pk).guest == guest


def test_the_first_guest_of_a_kiosk_that_waited_all_night_can_erase(client: Client) -> None:
    embed, now = embed_of(), timezone.now()
    with time_machine.travel(now - timedelta(hours=14)):
        visit = ask(client, embed).json()["visit"]
        admitted = tokens.read_visit(visit, embed.pk, "")
    path, body = f"/embed/{embed.public_id}/erase", json.dumps({"visit": visit})
    assert client.post(path, body, content_type="application/json", headers=PAGE).status_code == 403  # nobody yet
    guest = guests.admit(admitted, "192.0.2.7", has_guardian=False)
    session = slots.open_session(guest.pk, embed.persona.slug, StartRequest())
    Utterance.objects.create(session=session, who="user", by="voice", text="My secret", source="browser")
    transitions.begin_stop(session, EndReason.USER_STOPPED, end_evidence.person(guest.pk))
    transitions.end(session)
    with time_machine.travel(now + timedelta(hours=12, minutes=1)):
        assert client.post(path, body, content_type="application/json", headers=PAGE).status_code == 403
    erased = client.post(path, body, content_type="application/json", headers=PAGE)
    assert erased.json() == {"is_erased": True}


@pytest.mark.parametrize("path", ["/embed/\0/", "/embed/\0/preview", "/embed/\0/visit", "/embed/%D8/check/"])
def test_an_id_that_no_embed_has_is_not_looked_for(path: str) -> None:
    """PostgreSQL refuses some of these letters, which would be an error of the portal."""
    with pytest.raises(Resolver404):
        resolve(path)


def test_a_guest_erases_the_own_conversation_alone(client: Client) -> None:
    embed = embed_of()
    visits, sessions = [], []
    for word in ("Mine", "Yours"):
        visits.append(ask(client, embed).json()["visit"])
        guest = guests.admit(tokens.read_visit(visits[-1], embed.pk, ""), "192.0.2.7", has_guardian=False)
        session = slots.open_session(guest.pk, embed.persona.slug, StartRequest())
        Utterance.objects.create(session=session, who="user", by="voice", text=word, source="browser")
        transitions.begin_stop(session, EndReason.USER_STOPPED, end_evidence.person(guest.pk))
        transitions.end(session)
        sessions.append(session)
    body = json.dumps({"visit": visits[0]})
    path = f"/embed/{embed.public_id}/erase"
    assert client.post(path, body, content_type="application/json", headers=PAGE).json() == {"is_erased": True}
    assert list(Erasure.objects.values_list("session", flat=True)) == [sessions[0].pk]
    assert Utterance.objects.get(session=sessions[1]).text == "Yours"


def test_guests_see_the_avatars_picture(client: Client) -> None:
    embed = embed_of()
    assert client.get(f"/embed/{embed.public_id}/preview").status_code == 404
    embed.persona.avatar.preview.save("a.webp", ContentFile(b"RIFF"))
    picture = client.get(f"/embed/{embed.public_id}/preview")
    assert picture.status_code == 200
