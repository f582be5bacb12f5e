"""A network path of its own for each connection of one machine: `python -m bench._network LISTEN:TARGET ...`.

Stop this process (SIGSTOP) and the network delivers nothing. Continue it, and what was delayed arrives; kill it, and
open connections are gone.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial

from local.ports import LOOPBACK

CHUNK_BYTES = 65536


async def main(routes: list[tuple[int, int]]) -> None:
    for listen, target in routes:
        await asyncio.start_server(partial(forward, target), LOOPBACK, listen, backlog=1024)
    await asyncio.get_running_loop().create_future()


async def forward(target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward one connection in both directions until one end closes it."""
    try:
        there_reader, there_writer = await asyncio.open_connection(LOOPBACK, target)
    except OSError:
        writer.transport.abort()
        return
    await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(CHUNK_BYTES):
            sink.write(data)
            await sink.drain()
    sink.close()


if __name__ == "__main__":
    pairs = [argument.split(":") for argument in sys.argv[1:]]
    asyncio.run(main([(int(listen), int(target)) for listen, target in pairs]))
