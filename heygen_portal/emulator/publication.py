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
        self._following: asyncio.Task[None] | None = None

    async def publish(self) -> None:
        """Publish the track, if it is wanted."""
        if self._wanted():
            self._sid = (await self._participant.publish_track(self._track, self._options)).sid

    def follow(self) -> None:
        """Do in the background what the switch now asks for."""
        is_published = self._sid is not None
        if self._wanted() != is_published and (self._following is None or self._following.done()):
            self._following = asyncio.create_task(self._withdraw() if is_published else self.publish())

    async def _withdraw(self) -> None:
        sid, self._sid = self._sid, None
        if sid:
            await self._participant.unpublish_track(sid)
