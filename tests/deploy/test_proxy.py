"""A web process behind Caddy with `deploy/Caddyfile`."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

from local import setup
from local.ports import LOOPBACK
from tests.attacks.served import MAKE_STAFF_AND_VIDEO
from tests.support import servers
from tests.support.proxy import Network, Proxy, proxy
from tests.timeouts import WAIT_TIMEOUT_S

VIDEO = bytes(range(256)) * 400


@dataclass(frozen=True)
class Site:
    proxy: Proxy
    web: servers.Web
    cookie: str
    video: str

    def client(self) -> httpx.Client:
        client = httpx.Client(base_url=self.proxy.portal, verify=self.proxy.tls(), trust_env=False)
        client.timeout = httpx.Timeout(WAIT_TIMEOUT_S)
        return client


@pytest.fixture(scope="module")
def site(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    setup.ensure(tests=True)  # so that the pages find their static files
    network, folder = Network(), tmp_path_factory.mktemp("proxy")
    env = {
        "ALLOWED_HOSTS": network.address("portal"),
        "HTTPS": "1",
        "PROXY_COUNT": "1",
        "BUDGETS": "sign_in.address=2/day",
        "SEND_FILES_WITH": "X-Accel-Redirect",
    }
    with servers.web(redis_url, env=env) as web:
        session, video = web.console.run("shell", "-v0", "-c", MAKE_STAFF_AND_VIDEO).split()
        file = web.folder / "media" / "videos" / "long.mp4"
        file.parent.mkdir(parents=True)
        file.write_bytes(VIDEO)
        with proxy(folder, network, [LOOPBACK], web.port, media=web.folder / "media") as running:
            yield Site(running, web, f"sessionid={session}", f"/videos/{video}/file")


def test_pages_are_served_by_https_only(site: Site) -> None:
    with site.client() as client:
        page = client.get("/accounts/login/")
        assert page.status_code == 200
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        assert "secure" in page.headers["set-cookie"].lower()
        assert "server" not in page.headers
    plain = httpx.get(f"{site.proxy.plain}/accounts/login/", trust_env=False, timeout=WAIT_TIMEOUT_S)
    assert plain.status_code == 308
    assert plain.headers["location"].startswith("https://")


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/accounts/refused/", 64 * 1024 + 1),
        ("/webhooks/refused/", 64 * 1024 + 1),
        ("/admin/avatars/knowledgebase/import/refused/", 16 * 1024 * 1024 + 1),
        ("/refused/", 1024 * 1024 + 1),
    ],
)
def test_a_body_that_is_too_large_does_not_leave_the_proxy(site: Site, path: str, size: int) -> None:
    with site.client() as client:
        declared = client.post(path, content=b"x" * size)
        assert (declared.status_code, declared.headers["strict-transport-security"]) == (413, "max-age=31536000")
        assert client.post(path.replace("refused", "passed"), content=b"x" * 1000).status_code in (302, 403, 404)
    seen = site.web.process.output()
    assert path.replace("refused", "passed") in seen
    assert path not in seen


def test_a_body_of_undeclared_size_is_refused_at_the_first_byte_too_many(site: Site) -> None:
    with site.client() as client:
        assert client.post("/accounts/counted/", content=(b"x" * 65536 for _ in range(2))).status_code == 413
    assert "/accounts/counted/" not in site.web.process.output()


def test_forged_addresses_do_not_reach_the_budgets(site: Site) -> None:
    def attempt(client: httpx.Client, number: int) -> int:
        page = client.get("/accounts/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {"login": f"person-{number}", "password": "wrong", "csrfmiddlewaretoken": token[1]}
        forged = f"203.0.113.{number}"
        headers = {
            "Referer": f"{site.proxy.portal}/accounts/login/",
            "X-Forwarded-For": f"{forged}, 198.51.100.{number}",
            "X-Real-IP": forged,
            "Forwarded": f"for={forged}",
        }
        return client.post("/accounts/login/", data=form, headers=headers).status_code

    with site.client() as client:
        statuses = [attempt(client, number) for number in range(1, 4)]
    assert statuses == [200, 200, 429]


def test_the_proxy_sends_videos_that_the_portal_permits(site: Site) -> None:
    with site.client() as client:
        part = client.get(site.video, headers={"Cookie": site.cookie, "Range": "bytes=256-1279"})
        assert (part.status_code, part.content) == (206, VIDEO[256:1280])
        assert part.headers["content-type"] == "video/mp4"
        assert part.headers["cache-control"].startswith("private")
        assert "x-accel-redirect" not in part.headers
        whole = client.get(site.video, headers={"Cookie": site.cookie})
        assert (whole.status_code, whole.content) == (200, VIDEO)
        assert client.get(site.video).status_code == 302  # to the sign-in page
        assert client.get("/protected-media/videos/long.mp4").status_code in (302, 404)


def test_a_socket_passes_the_proxy(site: Site) -> None:
    address = urlsplit(site.proxy.portal)
    handshake = (
        "GET /ws/board/ HTTP/1.1",
        f"Host: {address.netloc}",
        f"Origin: {site.proxy.portal}",
        f"Cookie: {site.cookie}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "\r\n",
    )
    where = (address.hostname or "", address.port or 0)
    with (
        socket.create_connection(where, timeout=WAIT_TIMEOUT_S) as plain,
        site.proxy.tls().wrap_socket(plain, server_hostname=where[0]) as connection,
    ):
        connection.sendall("\r\n".join(handshake).encode())
        received = b""
        while b'"type"' not in received:  # in the first message of the board
            part = connection.recv(4096)
            assert part, received
            received += part
    assert received.startswith(b"HTTP/1.1 101 ")


def test_forwarded_headers_say_that_the_client_used_https(site: Site) -> None:
    """A forged scheme would turn off secure cookies."""
    with site.client() as client:
        page = client.get("/accounts/login/", headers={"X-Forwarded-Proto": "http"})
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        redirected = client.get("/", headers={"Cookie": "", "X-Forwarded-Host": "evil.example.org"})
        assert "evil" not in redirected.headers["location"]
