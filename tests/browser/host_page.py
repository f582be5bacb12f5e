"""A site on another origin that embeds a persona, with a strict Content Security Policy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

# Collects what the element tells the page. A page's own script, so that the policy needs no exception.
SCRIPT = """
globalThis.told = [];
for (const type of ["ready", "live", "ended", "line"])
  document.addEventListener(type, ({ detail }) => told.push({ type, ...detail }));
document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) =>
  told.push({ type: "violation", effectiveDirective, blockedURI }));
"""

STYLE = "avatar-chat { --avatar-chat-accent: rgb(120, 20, 60) }"


@dataclass
class Host:
    """The site's origin, and what embeds the persona in its page."""

    origin: str
    element: str = ""


@contextmanager
def host(portal: str, *, language: str = "en", microphone: bool = True, frames: bool = True) -> Iterator[Host]:
    """Serve a page that embeds a persona of the portal.

    The site's name is `localhost`, the portal's a number: for browsers they are different sites.
    """
    policy = f"default-src 'none'; script-src 'self' {portal}; style-src 'self'; img-src 'self'"
    policy += f"; frame-src {portal}" if frames else ""
    head = f"""<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>Your bill</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/site.css"><script src="/told.js"></script>
<script async src="{portal}/embed.js"></script></head>
<body><main><h1>Your bill</h1><p>It has three parts.</p></main>"""
    files = {"/told.js": ("text/javascript", SCRIPT), "/site.css": ("text/css", STYLE)}
    allowed = f'microphone=(self "{portal}")' if microphone else "microphone=()"

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = files.get(self.path, ("text/html", f"{head}{served.element}</body></html>"))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", policy)
            self.send_header("Permissions-Policy", allowed)
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    served = Host(f"http://localhost:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
