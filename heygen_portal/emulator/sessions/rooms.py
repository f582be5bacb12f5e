"""LiveKit rooms of the service: tokens, participants, creation and deletion."""

import logging
import time
from dataclasses import dataclass, field

import aiohttp
import jwt
from livekit import api

log = logging.getLogger(__name__)

AVATAR_IDENTITY = "heygen"  # identity that published clients expect
USER_IDENTITY = "client"
TOKEN_LIFETIME_SECONDS = 24 * 3600
EMPTY_ROOM_SECONDS = 3600  # lifetime of an empty room; the end of its session deletes it earlier


@dataclass(frozen=True)
class LiveKit:
    """Address of the LiveKit server and the key pair for its tokens."""

    url: str = "ws://127.0.0.1:7880"
    key: str = "devkey"
    secret: str = field(default="secret", repr=False)


class Rooms:
    """Rooms of one LiveKit server.

    Without `has_server`, tokens are created but no server is ever called.
    """

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
        """Return a token for the client's backend.

        Its identity distinguishes it from users and the avatar.
        """
        return self._token(room, f"agent-{room[:8]}", is_agent=True)

    def avatar_token(self, room: str) -> str:
        return self._token(room, AVATAR_IDENTITY)

    def service_agent_token(self, room: str) -> str:
        """Return a token for LiveAvatar's own agent.

        The agent is in the room of every FULL session; clients wait for this identity.
        """
        return self._token(room, f"liveavatar-agent-{room}", is_agent=True)

    def _token(self, room: str, identity: str, *, is_agent: bool = False, age_seconds: int = 0) -> str:
        # PyJWT directly: LiveKit's token builder takes three times as long, and load tests create thousands.
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
        """Create a room before anyone has a token, as the server does not. Idempotent."""
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
        """Delete a room and disconnect everyone. A missing room is not an error."""
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
        """Return the identities in the room, or None if the server does not answer."""
        if not self.has_server:
            return []
        try:
            answer = await self._client().room.list_participants(api.ListParticipantsRequest(room=room))
        except (api.TwirpError, aiohttp.ClientError, TimeoutError):
            return None
        return [participant.identity for participant in answer.participants]

    def _client(self) -> api.LiveKitAPI:
        if self._api is None:  # created late: it needs a running event loop
            self._api = api.LiveKitAPI(
                self.livekit.url, self.livekit.key, self.livekit.secret, timeout=aiohttp.ClientTimeout(total=5)
            )
        return self._api

    async def close(self) -> None:
        if self._api is not None:
            client, self._api = self._api, None
            await client.aclose()
