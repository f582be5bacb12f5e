"""LiveKit as the service uses it: join tokens, who is in a room, and rooms deleted at the end."""

import logging
import time
from dataclasses import dataclass, field

import aiohttp
import jwt
from livekit import api

log = logging.getLogger(__name__)

AVATAR = "heygen"  # published clients know the avatar by this identity
USER = "client"
TOKEN_LIFE_S = 24 * 3600
ROOM_LIFE_S = 3600  # without anybody in it; a session's end deletes its room earlier


@dataclass(frozen=True)
class LiveKit:
    """Where the rooms are, and the key pair that mints tokens for them."""

    url: str = "ws://127.0.0.1:7880"
    key: str = "devkey"
    secret: str = field(default="secret", repr=False)


class Rooms:
    """Rooms of one LiveKit server. With `is_real` False tokens are minted, but no server is ever asked."""

    def __init__(self, livekit: LiveKit, *, is_real: bool) -> None:
        self.livekit = livekit
        self.is_real = is_real
        self._api: api.LiveKitAPI | None = None

    @property
    def url(self) -> str:
        return self.livekit.url

    def user_token(self, room: str, *, is_expired: bool = False) -> str:
        return self._token(room, USER, age_s=2 * TOKEN_LIFE_S if is_expired else 0)

    def agent_token(self, room: str) -> str:
        """For a client's backend; its identity tells it from people and from the avatar."""
        return self._token(room, f"agent-{room[:8]}", is_agent=True)

    def avatar_token(self, room: str) -> str:
        return self._token(room, AVATAR)

    def helper_token(self, room: str) -> str:
        """For LiveAvatar's own agent, which is in the room of every FULL session; clients wait for this identity."""
        return self._token(room, f"liveavatar-agent-{room}", is_agent=True)

    def _token(self, room: str, identity: str, *, is_agent: bool = False, age_s: int = 0) -> str:
        """A join token, written out: the library's builder takes three times as long, and load tests open thousands."""
        since = int(time.time()) - age_s
        grants = dict.fromkeys(("roomJoin", "canPublish", "canPublishData", "canSubscribe"), True)
        claims = {
            "iss": self.livekit.key,
            "sub": identity,
            "name": identity,
            "nbf": since,
            "exp": since + TOKEN_LIFE_S,
            "video": {"room": room, **grants, "agent": is_agent},
        }
        return jwt.encode(claims, self.livekit.secret, "HS256")

    async def make(self, room: str) -> None:
        """Make a room before anybody has its token: the server opens none by itself. Safe to repeat."""
        if not self.is_real:
            return
        wanted = api.CreateRoomRequest(name=room, empty_timeout=ROOM_LIFE_S, departure_timeout=ROOM_LIFE_S)
        try:
            await self._client().room.create_room(wanted)
        except (api.TwirpError, aiohttp.ClientError, TimeoutError) as exc:
            log.warning("room %s was not made: %s", room, type(exc).__name__)

    async def delete(self, room: str) -> None:
        """Throw everybody out. A room that never was, or a server that does not answer, is no error here."""
        if not self.is_real:
            return
        try:
            await self._client().room.delete_room(api.DeleteRoomRequest(room=room))
        except api.TwirpError as exc:
            if exc.code != api.TwirpErrorCode.NOT_FOUND:
                log.warning("room %s was not deleted: %s", room, exc.code)
        except (aiohttp.ClientError, TimeoutError) as exc:
            log.warning("room %s was not deleted: %s", room, type(exc).__name__)

    async def people(self, room: str) -> list[str] | None:
        """Identities in the room; None when the server does not say."""
        if not self.is_real:
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
