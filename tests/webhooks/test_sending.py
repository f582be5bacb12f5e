"""One attempt: however the receiver behaves, it ends in a named outcome."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from django.test import override_settings

from heygen_portal.models import WebhookDelivery
from heygen_portal.webhooks.sending import MAX_ANSWER_BYTES, Answer, Sender, readable, rest_of
from tests.timeouts import WAIT_TIMEOUT_S
from tests.webhooks.receiver import Receiver, Request, answering, receiver, status

Outcome = WebhookDelivery.Outcome
pytestmark = pytest.mark.usefixtures("at_home")
NO_HURRY = {"attempt_seconds": WAIT_TIMEOUT_S, "body_seconds": WAIT_TIMEOUT_S}
AT_ONCE = 0.2  # seconds, after which a receiver that never answers has timed out


def post(url: str, **options: Any) -> Answer:
    async def send() -> Answer:
        async with Sender(**(NO_HURRY | options)) as sender:
            return await sender.post(url, b'{"type":"webhook.test"}', {"webhook-id": "msg_1"})

    return asyncio.run(send())


async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(request: Request, writer: asyncio.StreamWriter) -> None:
    """Send the head of an answer without end, a few bytes at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: 1\r\n")
        await writer.drain()
        await asyncio.sleep(AT_ONCE / 10)


async def flood(request: Request, writer: asyncio.StreamWriter) -> None:
    """Accept, with an answer that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def leave(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def break_off(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbeginning")
    await writer.drain()
    writer.close()


def test_a_body_is_posted_and_accepted(crm: Receiver) -> None:
    answer = post(crm.url)
    assert (answer.outcome, answer.http_status, answer.is_accepted) == (Outcome.ACCEPTED, 204, True)
    [request] = crm.requests
    assert request.line == "POST /hooks HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert (request.headers["webhook-id"], request.body) == ("msg_1", b'{"type":"webhook.test"}')
    assert not {"cookie", "authorization"} & set(request.headers)


@pytest.mark.parametrize("behaviour", [hang, drip], ids=["hangs", "drips"])
def test_a_receiver_that_does_not_come_to_an_end_times_out(crm: Receiver, behaviour: Any) -> None:
    crm.behaviour = behaviour
    assert post(crm.url, attempt_seconds=AT_ONCE).outcome == Outcome.TIMED_OUT


def test_only_the_beginning_of_a_long_answer_is_read(crm: Receiver) -> None:
    crm.behaviour = flood
    answer = post(crm.url)
    assert (answer.outcome, answer.http_status, len(answer.text)) == (Outcome.ACCEPTED, 200, 500)
    assert crm.was_cut_off.wait(WAIT_TIMEOUT_S)


def test_a_status_counts_even_if_the_body_never_comes(crm: Receiver) -> None:
    crm.behaviour = break_off
    answer = post(crm.url)
    assert (answer.outcome, answer.text) == (Outcome.ACCEPTED, "beginning")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (status(500, b"duplicate key"), Outcome.REFUSED),
        (status(410), Outcome.REFUSED),
        (status(404), Outcome.REFUSED),
        (b"220 mail.example.org ESMTP\r\n\r\n", Outcome.BROKEN_ANSWER),
        (b"\x00\xff\xfe\r\n\r\n", Outcome.BROKEN_ANSWER),
        (b"HTTP/1.1 200 OK\r\n" + b"X-One: 1\r\n" * 200 + b"\r\n", Outcome.BROKEN_ANSWER),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n", Outcome.BROKEN_ANSWER),
        (b"HTTP/1.1 9999 OK\r\n\r\n", Outcome.BROKEN_ANSWER),
    ],
    ids=["500", "410", "404", "another protocol", "bytes", "many headers", "a long header", "no such status"],
)
def test_other_answers_are_no_success(crm: Receiver, answer: bytes, outcome: str) -> None:
    crm.behaviour = answering(answer)
    assert post(crm.url).outcome == outcome


NOW = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 0007 ", 7),
        ("0", 0),
        ("86400", 3600),
        ("9" * 5000, 3600),
        ("Mon, 30 Nov 2026 12:10:00 GMT", 600),
        ("Mon, 30 Nov 2026 11:00:00 GMT", 0),
        ("Tue, 01 Dec 2026 12:00:00 GMT", 3600),
        ("Mon, 30 Nov 2026 12:10:00 -0000", 600),
        ("", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("٣٠", 0),
        ("Fri, 32 Nov 99999 12:00:00 GMT", 0),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date_and_is_never_longer_than_an_hour(header: str, seconds: int) -> None:
    assert rest_of(header, NOW) == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize(("code", "seconds"), [(429, 90), (503, 90), (500, 0), (404, 0), (204, 0), (301, 0)])
def test_only_a_receiver_that_is_busy_or_away_may_ask_for_a_wait(crm: Receiver, code: int, seconds: int) -> None:
    crm.behaviour = answering(status(code, b"", "Retry-After: 90"))
    assert post(crm.url).rest == datetime.timedelta(seconds=seconds)


def test_a_receiver_that_leaves_without_an_answer(crm: Receiver) -> None:
    crm.behaviour = leave
    assert post(crm.url).outcome == Outcome.BROKEN_ANSWER


def test_a_redirect_to_this_machine_is_not_followed(crm: Receiver) -> None:
    with receiver() as inside:
        crm.behaviour = answering(status(307, b"", f"Location: {inside.url}"))
        assert post(crm.url).outcome == Outcome.REDIRECTED
        assert inside.requests == []


def test_a_compressed_answer_is_not_expanded(crm: Receiver) -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    crm.behaviour = answering(status(200, bomb, "Content-Encoding: gzip"))
    answer = post(crm.url)
    assert answer.is_accepted
    assert "xxxx" not in answer.text


def test_nobody_listens(crm: Receiver) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        assert post(f"http://127.0.0.1:{port}/").outcome == Outcome.UNREACHABLE


def test_a_name_that_does_not_exist() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    assert post("https://crm.example.com/", lookup=lookup).outcome == Outcome.UNKNOWN_HOST


def test_an_answer_contains_nothing_that_controls_a_page_or_terminal() -> None:
    assert readable(b"<b>\x1b[31m\x00 \xe2\x80\xae\xff ok\r\n") == "<b>�[31m� �� ok"
    assert len(readable(b"a" * MAX_ANSWER_BYTES)) == 500


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_for(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("names", "options", "outcome"),
    [
        (["127.0.0.1"], {}, Outcome.ACCEPTED),
        (["127.0.0.1"], {"not_before": LONG_AGO, "not_after": LONG_AGO.replace(year=2021)}, Outcome.BAD_CERTIFICATE),
        (["crm.example.com"], {}, Outcome.BAD_CERTIFICATE),
    ],
    ids=["valid", "expired", "of another host"],
)
def test_the_certificate_is_checked(
    authority: trustme.CA, trusting: ssl.SSLContext, names: list[str], options: Any, outcome: str
) -> None:
    with receiver(tls_for(authority, *names, **options)) as made:
        assert post(made.url, tls=trusting).outcome == outcome
        assert len(made.requests) == (1 if outcome == Outcome.ACCEPTED else 0)


def test_a_certificate_of_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    with receiver(tls_for(authority, "127.0.0.1")) as made:
        assert post(made.url).outcome == Outcome.BAD_CERTIFICATE


# Names that lead inside


@pytest.fixture
def in_production(at_home: None) -> Iterator[None]:
    with override_settings(ALLOWED_HOSTS=["portal.example.org"], WEBHOOK_INTERNAL_NETWORKS=["127.0.0.1/32"]):
        yield


@pytest.mark.usefixtures("in_production")
def test_the_connection_goes_to_the_address_that_was_checked(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    answers = [["127.0.0.1"], ["127.0.0.2"]]  # the second is not allowed
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    with receiver(tls_for(authority, "crm.example.com")) as made:
        url = f"https://crm.example.com:{made.port}/hooks"
        assert post(url, lookup=lookup, tls=trusting).outcome == Outcome.ACCEPTED
        assert asked == ["crm.example.com"]
        assert made.requests[0].headers["host"] == f"crm.example.com:{made.port}"
        assert post(url, lookup=lookup, tls=trusting).outcome == Outcome.FORBIDDEN_ADDRESS
        assert len(made.requests) == 1


@pytest.mark.usefixtures("in_production")
@pytest.mark.parametrize(
    "found",
    [["10.0.0.5"], ["127.0.0.2"], ["8.8.8.8", "169.254.169.254"], ["::ffff:10.0.0.5"], ["fe80::1%2"], ["::1"]],
    ids=str,
)
def test_a_name_that_leads_inside_is_refused(found: list[str]) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return found

    assert post("https://crm.example.com/", lookup=lookup).outcome == Outcome.FORBIDDEN_ADDRESS


def test_proxies_of_the_environment_are_not_used(crm: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert post(crm.url).is_accepted
        assert proxy.requests == []
