"""LiveKit as the service uses it: join tokens, who is in a room, and rooms deleted at the end."""

import logging
import time
from dataclasses import dataclass, field

import aiohttp
import jwt
from livekit import api

log = logging.getLogger(__name__)

AVATAR_IDENTITY = "heygen"  # published clients know the avatar by this identity
USER_IDENTITY = "client"
TOKEN_LIFETIME_SECONDS = 24 * 3600
EMPTY_ROOM_SECONDS = 3600  # without anybody in it; a session's end deletes its room earlier


@dataclass(frozen=True)
class LiveKit:
    """Where the rooms are, and the key pair that mints tokens for them."""

    url: str = "ws://127.0.0.1:7880"
    key: str = "devkey"
    secret: str = field(default="secret", repr=False)


class Rooms:
    """Rooms of one LiveKit server. With `is_real` False tokens are minted, but no server is ever asked."""

    def __init__(self, livekit: LiveKit, *, has_server: bool) -> None:
        self.livekit = livekit
        self.has_server = has_server
        self._api: api.LiveKitAPI | None = None

    @property
    def url(self) -> str:
        return self.livekit.url

    def user_token(self, room: str, *, is_expired: bool = False) -> str:
        return self._token(room, USER_IDENTITY, age_seconds=2 * TOKEN_LIFETIME_SECONDS if is_expired else 0)

    def agent_token(self, room: str) -> str:
        """For a client's backend; its identity tells it from people and from the avatar."""
        return self._token(room, f"agent-{room[:8]}", is_agent=True)

    def avatar_token(self, room: str) -> str:
        return self._token(room, AVATAR_IDENTITY)

    def service_agent_token(self, room: str) -> str:
        """For LiveAvatar's own agent, which is in the room of every FULL session; clients wait for this identity."""
        return self._token(room, f"liveavatar-agent-{room}", is_agent=True)

    def _token(self, room: str, identity: str, *, is_agent: bool = False, age_seconds: int = 0) -> str:
        """A join token, written out: the library's builder takes three times as long, and load tests open thousands."""
        since = int(time.time()) - age_seconds
        grants = dict.fromkeys(("roomJoin", "canPublish", "canPublishData", "canSubscribe"), True)
        claims = {
            "iss": self.livekit.key,
            "sub": identity,
            "name": identity,
            "nbf": since,
            "exp": since + TOKEN_LIFETIME_SECONDS,
            "video": {"room": room, **grants, "agent": is_agent},
        }
        return jwt.encode(claims, self.livekit.secret, "HS256")

    async def create(self, room: str) -> None:
        """Make a room before anybody has its token: the server opens none by itself. Safe to repeat."""
        if not self.has_server:
            return
        wanted = api.CreateRoomRequest(
            name=room, empty_timeout=EMPTY_ROOM_SECONDS, departure_timeout=EMPTY_ROOM_SECONDS
        )
        try:
            await self._client().room.create_room(wanted)
        except (api.TwirpError, aiohttp.ClientError, TimeoutError) as exc:
            log.warning("room %s was not made: %s", room, type(exc).__name__)

    async def delete(self, room: str) -> None:
        """Throw everybody out. A room that never was, or a server that does not answer, is no error here."""
        if not self.has_server:
            return
        try:
            await self._client().room.delete_room(api.DeleteRoomRequest(room=room))
        except api.TwirpError as exc:
            if exc.code != api.TwirpErrorCode.NOT_FOUND:
                log.warning("room %s was not deleted: %s", room, exc.code)
        except (aiohttp.ClientError, TimeoutError) as exc:
            log.warning("room %s was not deleted: %s", room, type(exc).__name__)

    async def participants(self, room: str) -> list[str] | None:
        """Identities in the room; None when the server does not say."""
        if not self.has_server:
            return []
        try:
            answer = await self._client().room.list_participants(api.ListParticipantsRequest(room=room))
        except (api.TwirpError, aiohttp.ClientError, TimeoutError):
            return None
        return [participant.identity for participant in answer.participants]

    def _client(self) -> api.LiveKitAPI:
        if self._api is None:  # needs a running loop, which there is not when the app is built
            self._api = api.LiveKitAPI(
                self.livekit.url, self.livekit.key, self.livekit.secret, timeout=aiohttp.ClientTimeout(total=5)
            )
        return self._api

    async def close(self) -> None:
        if self._api is not None:
            client, self._api = self._api, None
            await client.aclose()
