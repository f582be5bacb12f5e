"""Connecting to a LiveKit room."""

import asyncio

from livekit import rtc


async def connect_to_room(room: rtc.Room, url: str, token: str) -> None:
    """Connect to a room.

    The connection cannot be aborted once begun: if cancelled, it disconnects as soon as it is established.
    """
    # Two peer connections: a single one is slower and keeps five times as many threads after the end.
    options = rtc.RoomOptions(auto_subscribe=False, single_peer_connection=False)
    entering = asyncio.ensure_future(room.connect(url, token, options))
    try:
        await asyncio.shield(entering)
    except asyncio.CancelledError:
        await asyncio.wait({entering})
        if entering.exception() is None:
            await room.disconnect()
        raise
