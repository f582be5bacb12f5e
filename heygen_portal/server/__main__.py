"""Run the server: `python -m heygen_portal.server -b 127.0.0.1 -p 8000`.

Takes Daphne's options.
"""

from __future__ import annotations

import sys

from heygen_portal.server.asgi import Server  # first, because it installs Twisted's reactor

from daphne.cli import CommandLineInterface  # isort: skip

from heygen_portal.server import limits, memory  # isort: skip

APPLICATION = "heygen_portal.asgi:application"


class Launcher(CommandLineInterface):
    """Daphne's command line with the portal's server, application and limits."""

    server_class = Server

    def __init__(self) -> None:
        super().__init__()
        self.parser.prog = "python -m heygen_portal.server"
        self.parser.set_defaults(
            websocket_max_message_size=limits.SOCKET_MESSAGE_BYTES,
            websocket_max_frame_size=limits.SOCKET_MESSAGE_BYTES,
            server_name="",
            # After 5 s, Daphne cut off sockets whose look-ups waited behind others. They came back and waited again.
            websocket_connect_timeout=30,
        )


if __name__ == "__main__":
    memory.return_freed_blocks()
    Launcher().run([*sys.argv[1:], APPLICATION])
