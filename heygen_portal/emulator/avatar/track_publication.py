"""A track that is published or withdrawn as faults require."""

import asyncio
from collections.abc import Callable

from livekit import rtc


class Publication:
    """Publishes a track while `wanted()` is true. `follow` applies changes."""

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
        """Publish the track if wanted. After cancelling this call, call `settle`."""
        if self._wanted():
            self._changing = asyncio.create_task(self._publish())
            await asyncio.shield(self._changing)

    def follow(self) -> None:
        """Publish or withdraw the track in the background as `wanted` requires."""
        is_published = self._sid is not None
        if self._wanted() != is_published and (self._changing is None or self._changing.done()):
            self._changing = asyncio.create_task(self._withdraw() if is_published else self._publish())

    async def settle(self, gone: "asyncio.Future[None]") -> None:
        """Return once no change is pending, or the room is `gone` and sends no response.

        An aborted change leaves LiveKit's client with events of an unknown track.
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
