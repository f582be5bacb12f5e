"""Restricted networks: the device check, and a conversation.

LiveKit runs as in docs/examples. The browser is in a network namespace of its own that only has the connections that
the test opens.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import trustme
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, Page, expect

from local import ports, processes
from local.paths import ROOT
from local.ports import LOOPBACK
from tests.browser.conftest import PERSONAS
from tests.browser.injected_faults import reported
from tests.browser.page_checks import save_picture
from tests.browser.room_page import Person, RoomPage, Stage
from tests.support import servers
from tests.support.browsing import ALLOW_SOUND, browser, password
from tests.support.restricted_network import OpenPort, is_supported, network
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [
    pytest.mark.browser,
    pytest.mark.media,
    pytest.mark.proof,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not is_supported(), reason="networks of one's own need Linux, unshare and nsenter, and leave to use them"
    ),
]
EXAMPLES = ROOT / "docs" / "examples"
# Every browser looks for names below localhost on this machine.
NAME = "turn.localhost"
HTTPS = 443
KEPT = """
import json
from sessions.models import StreamingSession
session = StreamingSession.objects.order_by("-created_at").first()
ways = [one.data for one in session.events.filter(kind="way")]
print(json.dumps({"reason": [session.end_reason, session.end_evidence], "way": ways[-1] if ways else None}))
"""
WORDS = {
    "es": {"ok": "Correcto", "warn": "Aviso", "bad": "Falló"},
    "en": {"ok": "Passed", "warn": "Warning", "bad": "Failed"},
}


@dataclass(frozen=True)
class Office:
    """A portal with a LiveKit server as in the example.

    Only opened ports reach it.
    """

    stage: Stage
    livekit: servers.LiveKit
    folder: Path
    # By which the browser knows the relay's certificate, which no authority has signed.
    key_hash: str

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = json.loads(self.livekit.config.read_text())
        return settings

    def change(self, settings: dict[str, Any]) -> None:
        """Restart LiveKit with other settings."""
        self.livekit.config.write_text(json.dumps(settings))
        self.livekit.process.stop()
        self.livekit.process.start()
        health = self.livekit.url.replace("ws:", "http:")
        self.livekit.process.wait_until(lambda: processes.answers_http(health))

    @asynccontextmanager
    async def behind(self, *routes: str) -> AsyncIterator[Browser]:
        """Return a browser whose media can use only these routes.

        It also reaches the portal and LiveKit's signalling.
        """
        settings = self.settings()
        turn = settings.get("turn", {})
        doors = {
            "tcp": OpenPort("tcp", settings["rtc"]["tcp_port"], settings["rtc"]["tcp_port"]),
            "turn": OpenPort("udp", turn.get("udp_port", 0), turn.get("udp_port", 0)),
            "turns": OpenPort("tcp", HTTPS, turn.get("tls_port", 0)),
        }
        always = [
            OpenPort("tcp", port, port) for port in (self.stage.portal.port, urlsplit(self.livekit.url).port or 0)
        ]
        trusted = f"--ignore-certificate-errors-spki-list={self.key_hash}"
        async with (
            network(self.folder, *always, *(doors[way] for way in routes)) as within,
            browser(ALLOW_SOUND, trusted, within=within) as chromium,
        ):
            yield chromium


def use_example(folder: Path, settings: dict[str, Any]) -> None:
    """Configure LiveKit as in the example, with this machine's addresses and keys."""
    example = yaml.safe_load((EXAMPLES / "livekit.yaml").read_text())
    certificate = trustme.CA().issue_cert(NAME)
    certificate.private_key_pem.write_to_path(str(folder / "turn.key"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "turn.crt"))
    here: dict[str, Any] = {"domain": NAME, "cert_file": str(folder / "turn.crt"), "key_file": str(folder / "turn.key")}
    here |= {"udp_port": ports.free_port(socket.SOCK_DGRAM), "tls_port": ports.free_port()}
    here |= {"bind_addresses": [LOOPBACK], "allow_restricted_peer_cidrs": [f"{LOOPBACK}/32"]}
    rtc = example["rtc"] | settings["rtc"] | {"tcp_port": ports.free_port()}
    settings.update({**example, **settings, "rtc": rtc, "turn": example["turn"] | here})


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with servers.folder() as folder:
        yield folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(folder: Path) -> AsyncIterator[Office]:
    with (
        servers.livekit(lambda settings: use_example(folder, settings)) as livekit,
        servers.emulator(livekit, args=["--control"]) as emulator,
        servers.portal(emulator, livekit) as portal,
    ):
        portal.manage("shell", "-v0", "-c", PERSONAS)
        portal.use_rooms("own")
        admin = Person("admin", password(portal, "admin"))
        async with browser() as chromium:
            page = await chromium.new_page()
            await admin.sign_in(page, portal)
            stage = Stage(portal, emulator, admin, await page.context.storage_state())
        yield Office(stage, livekit, folder, key_hash(folder / "turn.crt"))


def key_hash(certificate: Path) -> str:
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    of = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return base64.b64encode(of.digest()).decode()


async def run_check(chromium: Browser, stage: Stage, language: str) -> tuple[Page, dict[str, str]]:
    """Run the device check and return the page and its report."""
    context = await chromium.new_context(
        locale=language, storage_state=stage.cookies, viewport={"width": 1280, "height": 1600}
    )
    context.set_default_timeout(2 * WAIT_TIMEOUT_S * 1000)
    page = await context.new_page()
    await page.goto(f"{stage.portal.url}/check/")
    await page.click("#begin")
    await page.click("#yes")
    await page.wait_for_selector("body[data-checked]")
    report: dict[str, str] = json.loads(await page.evaluate("localStorage.check"))
    for check in ("udp", "tcp", "turn"):
        mark = report[check].split()[0]
        if mark in WORDS[language]:
            await expect(page.locator(f"[data-check={check}] .badge:visible")).to_have_text(WORDS[language][mark])
    return page, report


def read_record(stage: Stage) -> dict[str, Any]:
    """Return how the newest session ended, and its network route."""
    record: dict[str, Any] = json.loads(stage.portal.manage("shell", "-v0", "-c", KEPT))
    return record


def routes(report: dict[str, str]) -> tuple[str, str, str]:
    return report["udp"], report["tcp"], report["turn"]


async def test_the_relay_alone_suffices_for_check_and_conversation(office: Office) -> None:
    """Requirement 70; complaint 23: by UDP, then by TLS on port 443."""
    for way, protocol, found in (("turn", "udp", "ok by_udp"), ("turns", "tls", "ok fine")):
        async with office.behind(way) as chromium:
            page, report = await run_check(chromium, office.stage, "es")
            assert routes(report) == ("warn blocked", "warn blocked", found)
            assert (report["local"], report["remote"], report["protocol"]) == ("relay", "host", protocol)
            await expect(page.locator("[data-check=udp] .remedy:visible")).to_contain_text("7882")
            assert await page.get_attribute("body", "data-checked") == "warnings"
            if protocol == "tls":
                await save_picture(page, "check-relay")
            async with RoomPage.opened(chromium, office.stage, "small") as room:
                await room.page.goto(f"{office.stage.portal.url}/personas/small/?debug")
                await room.start()
                await room.write("Te veo por el relevo.", "repeat")
                await room.wait_for_line("Te veo por el relevo.")
                await room.wait_for_sound()
                before = await room.frames()
                await room.wait_for(
                    f"document.querySelector('#video').getVideoPlaybackQuality().totalVideoFrames > {before + 25}"
                )
                await expect(room.page.locator("#debug-facts")).to_contain_text("relay → host")
                await expect(room.page.locator("#debug-facts")).to_contain_text(f"protocol{protocol}")
                await room.wait_for_events("way")
                assert reported(room, "way", "local") == ["relay"]
                assert reported(room, "ladder", "step") == []
                assert room.console_errors == []
            route = read_record(office.stage)["way"]
            assert (route["local"], route["remote"], route["protocol"]) == ("relay", "host", protocol)


async def test_with_tcp_alone_the_check_warns_and_video_works(
    office: Office,
) -> None:
    async with office.behind("tcp") as chromium:
        _, report = await run_check(chromium, office.stage, "en")
        assert routes(report) == ("warn blocked", "ok fine", "warn blocked")
        assert report["protocol"] == "tcp"
        async with RoomPage.opened(chromium, office.stage, "small") as room:
            await room.start()
            await room.wait_for_events("way")
            assert read_record(office.stage)["way"]["protocol"] == "tcp"


async def test_a_blocked_network_fails_the_check_and_ends_the_room(
    office: Office,
) -> None:
    """Complaint 23: the page shows remedies for the user and the operator."""
    async with office.behind() as chromium:
        page, report = await run_check(chromium, office.stage, "en")
        assert routes(report) == ("bad closed", "bad closed", "bad closed")
        await expect(page.locator("[data-check=turn] .remedy:visible")).to_contain_text("TCP 443 and UDP 3478")
    settings = office.settings()
    office.change({name: section for name, section in settings.items() if name != "turn"})
    try:
        async with office.behind() as chromium:
            for language, remedy in (("es", "activar el relay de LiveKit"), ("en", "enable LiveKit’s relay")):
                page, report = await run_check(chromium, office.stage, language)
                assert routes(report) == ("bad closed", "bad closed", "bad missing")
                await expect(page.locator("[data-check=turn] .remedy:visible")).to_contain_text(remedy)
            async with RoomPage.opened(chromium, office.stage, "small") as room:
                await check_given_up(room)
    finally:
        office.change(settings)


async def check_given_up(room: RoomPage) -> None:
    """Check the page's recovery steps, its verdict on the network, and the remedy."""
    await room.page.click("#start")
    await room.page.wait_for_selector("body[data-state=failed]", timeout=2 * WAIT_TIMEOUT_S * 1000)
    await expect(room.page.locator("#cause")).to_have_text("Tu red bloquea el vídeo en directo.")
    await expect(room.page.locator("#remedy")).to_contain_text("los datos del móvil")
    assert set(reported(room, "verdict", "code")) == {"network"}
    assert reported(room, "ladder", "step") == ["rejoin", "renew", "out"]
    await room.wait_until_all_ended()
    assert read_record(room.stage)["reason"] == [
        "no_picture",
        {"code": "no_picture_room", "limit_s": 8, "verdict": "network"},
    ]


async def test_a_relay_that_cannot_reach_livekit_differs_from_a_missing_one(office: Office) -> None:
    settings = office.settings()
    turn = {name: value for name, value in settings["turn"].items() if name != "allow_restricted_peer_cidrs"}
    office.change(settings | {"turn": turn})
    try:
        async with office.behind("turn", "turns") as chromium:
            page, report = await run_check(chromium, office.stage, "en")
            assert routes(report) == ("bad closed", "bad closed", "bad astray")
            await expect(page.locator("[data-check=turn] .remedy:visible")).to_contain_text("restricted_peer_cidrs")
    finally:
        office.change(settings)
