"""Into a LiveKit room, as avatars and their agents go."""

import asyncio

from livekit import rtc


async def connect_to_room(room: rtc.Room, url: str, token: str) -> None:
    """Enter a room. Once begun this cannot be called off: cancelled, it leaves as soon as it has entered."""
    # Two peer connections: a single one takes longer, and keeps five times the threads for seconds after the end.
    options = rtc.RoomOptions(auto_subscribe=False, single_peer_connection=False)
    entering = asyncio.ensure_future(room.connect(url, token, options))
    try:
        await asyncio.shield(entering)
    except asyncio.CancelledError:
        await asyncio.wait({entering})
        if entering.exception() is None:
            await room.disconnect()
        raise
