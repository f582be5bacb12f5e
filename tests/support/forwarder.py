"""A network that falls silent between a process and its server."""

from __future__ import annotations

import select
import socket
import threading

from local import ports


class Forwarder:
    """A TCP forwarder that can fall silent on its open connections without closing them."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.generation = 0
        self.is_silent = False
        self.listener = socket.create_server((ports.LOOPBACK, 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self, *, also_new: bool = False) -> None:
        """Forward nothing more on open connections, nor on new ones if `also_new`."""
        self.generation += 1
        self.is_silent = also_new

    def recover(self) -> None:
        """Forward on new connections."""
        self.generation += 1
        self.is_silent = False

    def close(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection((ports.LOOPBACK, self.target_port))
            threading.Thread(target=self._forward, args=(client, server, self.generation), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket, generation: int) -> None:
        pairs = {client: server, server: client}
        with client, server:
            while True:
                readable, _, _ = select.select(list(pairs), [], [], 0.05)
                if generation != self.generation or self.is_silent:
                    client.settimeout(None)
                    while client.recv(4096):  # read and dropped, until the client gives up
                        pass
                    return
                for end in readable:
                    if not (data := end.recv(65536)):
                        return
                    pairs[end].sendall(data)
