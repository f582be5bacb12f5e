"""Web processes of one portal at addresses of their own, and the proxy in front of them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench._process import Process
from local import processes
from local.processes import Child
from local.servers import command
from tests.support import servers
from tests.support.proxy import Network, proxy

WEB_PORT = 8000


@dataclass(frozen=True)
class Site:
    """Where browsers reach the portal, and the processes that serve them."""

    url: str
    webs: Sequence[Process]
    proxy: Process | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def cpu_s(self) -> float:
        """Return the processor time of the web processes."""
        return sum(web.cpu_s() for web in self.webs)

    def rss(self) -> int:
        """Return the memory of the web processes in bytes."""
        return sum(web.rss() for web in self.webs)


def environment(network: Network) -> dict[str, str]:
    """Return the settings that let a portal be reached both through the proxy and directly."""
    return {"ALLOWED_HOSTS": f"127.0.0.1,{network.address('portal')}", "HTTPS": "1", "PROXY_COUNT": "1"}


@contextmanager
def web_process(portal: servers.Portal, network: Network, number: int) -> Iterator[Child]:
    """Run one more web process of a portal, at an address of its own."""
    name = f"web-{number}"
    address = network.address(name)
    words = command("web", {"PORT": str(WEB_PORT)})
    words[words.index("-b") + 1] = address
    child = Child(name, words, Path(portal.environment["VAR_DIR"]) / f"{name}.log", env=portal.environment)

    def make() -> tuple[Child, Callable[[], bool]]:
        return child, lambda: processes.answers_http(f"http://{address}:{WEB_PORT}/health")

    with servers.running(make) as running:
        yield running


@contextmanager
def site(network: Network, webs: Sequence[Child]) -> Iterator[Site]:
    """Run the proxy in front of these web processes, which `web_process` started."""
    with ExitStack() as stack:
        folder = stack.enter_context(servers.folder())
        addresses = [network.address(web.name) for web in webs]
        running = stack.enter_context(proxy(folder, network, addresses, WEB_PORT))
        watched = [Process(web.name, web.pid) for web in webs]
        yield Site(running.portal, watched, Process("proxy", running.process.pid), running.tls())


def direct(portal: servers.Portal) -> Site:
    """Return the portal's own web process, without a proxy."""
    return Site(portal.url, [Process("web", portal.web.pid)])
