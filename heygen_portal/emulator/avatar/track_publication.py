"""A track in the room, published or taken back as a switch says."""

import asyncio
from collections.abc import Callable

from livekit import rtc


class Publication:
    """`wanted` is read again whenever `follow` is called; a faulty avatar lacks picture or sound."""

    def __init__(
        self,
        participant: rtc.LocalParticipant,
        track: rtc.LocalTrack,
        options: rtc.TrackPublishOptions,
        wanted: Callable[[], bool],
    ) -> None:
        self._participant = participant
        self._track = track
        self._options = options
        self._wanted = wanted
        self._sid: str | None = None
        self._changing: asyncio.Task[None] | None = None

    async def publish(self) -> None:
        """Publish the track, if it is wanted. Whoever stops waiting for it calls `settle`."""
        if self._wanted():
            self._changing = asyncio.create_task(self._publish())
            await asyncio.shield(self._changing)

    def follow(self) -> None:
        """Do in the background what the switch now asks for."""
        is_published = self._sid is not None
        if self._wanted() != is_published and (self._changing is None or self._changing.done()):
            self._changing = asyncio.create_task(self._withdraw() if is_published else self._publish())

    async def settle(self, gone: "asyncio.Future[None]") -> None:
        """Return once no change is under way, or the room is `gone`, after which no answer comes.

        A change that is broken off leaves LiveKit's client with events of a track that it does not know.
        """
        if self._changing:
            await asyncio.wait({self._changing, gone}, return_when=asyncio.FIRST_COMPLETED)
            self._changing.cancel()
            await asyncio.gather(self._changing, return_exceptions=True)

    async def _publish(self) -> None:
        self._sid = (await self._participant.publish_track(self._track, self._options)).sid

    async def _withdraw(self) -> None:
        sid, self._sid = self._sid, None
        if sid:
            await self._participant.unpublish_track(sid)
