"""HeyGen's Streaming API, version 2: sessions over LiveKit. docs/providers.md is the wire."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import httpx

from heygen_portal.providers import answers, previews
from heygen_portal.providers.base import (
    AvatarOffer,
    Capabilities,
    CredentialRefused,
    Delivered,
    Delivery,
    KnowledgeBaseOffer,
    NotSent,
    OpenSession,
    Provider,
    ProviderError,
    ProviderRejected,
    ProviderSession,
    ProviderUnreachable,
    PushToTalk,
    Quality,
    RoomAccess,
    SessionGone,
    SessionRequest,
    TaskKind,
    VoiceOffer,
)
from heygen_portal.providers.languages import language_code
from heygen_portal.providers.pieces import pieces

CONNECT_S = 5
ANSWER_S = 10
SLOW_ANSWER_S = 30  # new and start: seven seconds have been seen
LARGEST_ANSWER = 16 * 1024 * 1024  # thousands of voices come in one list

LONGEST_ID = 200  # an ID longer than that could not be stored

SHORTEST_IDLE, LONGEST_IDLE = timedelta(seconds=30), timedelta(seconds=3599)
ALREADY_STARTED = "10003"


@cache
def _tls() -> ssl.SSLContext:
    """One for the process: reading the certificates anew would cost each job some 20 ms."""
    return httpx.create_ssl_context()


class HeyGen(Provider):
    """One account at HeyGen, or at the emulator in its place."""

    capabilities = Capabilities(
        takes_text=True,
        takes_voice=True,
        hands_free=True,
        push_to_talk=PushToTalk(start='"push_to_talk:start"', stop='"push_to_talk:stop"'),
        languages=("es", "en"),
        emotions=("excited", "serious", "friendly", "soothing", "broadcaster"),
        qualities=tuple(Quality),
        voice_rate=(0.5, 1.5),
        longest_text=1000,
        longest_idle=LONGEST_IDLE,
    )

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        is_bearer: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._api_key = api_key
        self._is_bearer = is_bearer
        self._http = httpx.AsyncClient(
            base_url=base_url,
            verify=_tls(),
            transport=transport,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=50, keepalive_expiry=50),
            # A company's proxy does not know this machine's own loopback.
            mounts={"all://127.0.0.1": None, "all://localhost": None},
        )

    async def new_session(self, request: SessionRequest) -> ProviderSession:
        # The documented order is token, new, start. The token is not needed before start, so both
        # are asked for at once, the token first: it costs no time.
        token = asyncio.create_task(self._create_token())
        opened = asyncio.create_task(self._new(request))
        try:
            session = await opened
        except BaseException:
            token.cancel()
            await asyncio.gather(token, return_exceptions=True)
            raise
        try:
            return replace(session, credential=await token)
        except BaseException:
            # Nobody will ever start it, and open it would cost money.
            with suppress(ProviderError):
                await self.stop_session(session.provider_session_id)
            raise

    async def start_session(self, session: ProviderSession) -> None:
        payload = _of(session.provider_session_id)
        try:
            await self._post("streaming.start", payload, within=SLOW_ANSWER_S, token=session.credential)
        except ProviderRejected as exc:
            # The number is shared with "avatar version deprecated".
            if exc.code != ALREADY_STARTED or "state" not in str(exc):
                raise

    async def send_task(self, provider_session_id: str, *, text: str, kind: TaskKind) -> Delivery:
        if not isinstance(kind, TaskKind):
            raise ProviderRejected("streaming.task: there is no task of this type")
        # The service refuses more at once; what follows is queued behind it and spoken in order.
        parts = pieces(text, self.capabilities.longest_text)
        sent = [await self._task(provider_session_id, part, kind) for part in parts]
        return sent[0]

    async def interrupt(self, provider_session_id: str) -> Delivery:
        await self._post("streaming.interrupt", _of(provider_session_id))
        return Delivered()

    async def keep_alive(self, provider_session_id: str) -> None:
        await self._post("streaming.keep_alive", _of(provider_session_id))

    async def stop_session(self, provider_session_id: str) -> None:
        await self._post("streaming.stop", _of(provider_session_id))

    async def list_sessions(self) -> list[OpenSession]:
        data = await self._get("/v1/streaming.list")
        return [
            OpenSession(
                provider_session_id=str(row["session_id"]),
                status=str(row.get("status") or ""),
                created_at=answers.moment(row.get("created_at")),
            )
            for row in answers.rows(data, "sessions", key="session_id")
        ]

    async def list_avatars(self) -> list[AvatarOffer]:
        rows = answers.rows(await self._get("/v1/streaming/avatar.list"), key="avatar_id")
        # The same avatar may be listed several times; the newest counts.
        newest = {
            str(row["avatar_id"]): row for row in sorted(rows, key=lambda row: answers.number(row.get("created_at")))
        }
        return [
            AvatarOffer(
                provider_avatar_id=avatar_id,
                name=str(row.get("pose_name") or avatar_id),
                preview_url=str(row.get("normal_preview") or ""),
                default_voice_id=str(row.get("default_voice") or ""),
                is_active=str(row.get("status") or "ACTIVE").upper() == "ACTIVE",
            )
            for avatar_id, row in newest.items()
        ]

    async def list_voices(self) -> list[VoiceOffer]:
        data = await self._get("/v2/voices")
        return [
            VoiceOffer(
                provider_voice_id=str(row["voice_id"]),
                name=str(row.get("name") or row["voice_id"]).strip(),
                language=language_code(str(row.get("language") or "")),
                gender=str(row.get("gender") or "").lower(),
                preview_url=str(row.get("preview_audio") or ""),
                has_emotions=row.get("emotion_support") is True,
            )
            for row in answers.rows(data, "voices", key="voice_id")
        ]

    async def list_knowledge_bases(self) -> list[KnowledgeBaseOffer]:
        data = await self._get("/v1/streaming/knowledge_base/list")
        return [
            KnowledgeBaseOffer(
                provider_knowledge_base_id=str(row["id"]),
                name=str(row.get("name") or row["id"]),
                opening=str(row.get("opening") or ""),
                prompt=str(row.get("prompt") or ""),
            )
            for row in answers.rows(data, "list", key="id")
        ]

    async def download(self, url: str) -> bytes:
        return await previews.fetch(self._http, url, trusted=self._http.base_url)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _task(self, provider_session_id: str, text: str, kind: TaskKind) -> Delivered:
        payload = _of(provider_session_id) | {"text": text, "task_type": str(kind), "task_mode": "async"}
        data = answers.mapping(await self._post("streaming.task", payload, may_quote=False))
        return Delivered(
            provider_task_id=str(data.get("task_id") or "")[:LONGEST_ID],
            duration=answers.duration(data.get("duration_ms"), timedelta(milliseconds=1)),
        )

    async def _create_token(self) -> str:
        data = answers.mapping(await self._post("streaming.create_token", None))
        token = data.get("token")
        if not isinstance(token, str) or not token:
            raise ProviderUnreachable("streaming.create_token: data.token is missing")
        return token

    async def _new(self, request: SessionRequest) -> ProviderSession:
        data = answers.mapping(await self._post("streaming.new", _new_body(request), within=SLOW_ANSWER_S))
        session_id, url, token = data.get("session_id"), data.get("url"), data.get("access_token")
        if not isinstance(session_id, str) or not session_id or len(session_id) > LONGEST_ID:
            raise ProviderUnreachable("streaming.new: data.session_id is missing")
        return ProviderSession(
            provider_session_id=session_id,
            # With a LiveKit of our own there is no room to name.
            room=RoomAccess(str(url), str(token)) if url and token else None,
            duration_limit=answers.duration(data.get("session_duration_limit"), timedelta(seconds=1)),
            is_paid=data["is_paid"] if isinstance(data.get("is_paid"), bool) else None,
        )

    async def _post(
        self,
        name: str,
        payload: dict[str, Any] | None,
        *,
        within: float = ANSWER_S,
        token: str = "",
        may_quote: bool = True,
    ) -> Any:
        request = self._request("POST", f"/v1/{name}", payload, within, token)
        return await self._answer(name, request, within, may_quote=may_quote)

    async def _get(self, path: str) -> Any:
        return await self._answer(path, self._request("GET", path, None, ANSWER_S, ""), ANSWER_S)

    def _request(
        self, method: str, path: str, payload: dict[str, Any] | None, within: float, token: str
    ) -> httpx.Request:
        timeout = httpx.Timeout(within, connect=CONNECT_S)
        try:
            headers = self._credential(token)
            return self._http.build_request(method, path, json=payload, headers=headers, timeout=timeout)
        except UnicodeEncodeError:  # half a surrogate pair; the exception would carry the text
            raise ProviderRejected(f"{path}: a text is not valid Unicode") from None

    def _credential(self, token: str) -> dict[str, str]:
        secret = token or self._api_key
        if not secret.isascii() or not secret.isprintable():
            raise CredentialRefused("the key holds characters that no header can carry")
        return {"Authorization": f"Bearer {secret}"} if token or self._is_bearer else {"X-API-KEY": secret}

    async def _answer(self, name: str, request: httpx.Request, within: float, *, may_quote: bool = True) -> Any:
        """Send and read. httpx limits the wait for each piece; the timeout here limits all of them together."""
        try:
            async with asyncio.timeout(within + CONNECT_S):
                response = await self._http.send(request, stream=True)
                try:
                    body = await previews.read_at_most(response, LARGEST_ANSWER)
                finally:
                    await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, UnicodeError) as exc:
            raise NotSent(f"{name}: {type(exc).__name__}") from exc  # the last: a host that is no name at all
        except (httpx.HTTPError, TimeoutError) as exc:
            raise ProviderUnreachable(f"{name}: {type(exc).__name__}") from exc
        secrets = (self._api_key, request.headers.get("Authorization", "").removeprefix("Bearer "))
        return answers.read(name, response.status_code, body, may_quote=may_quote, secrets=secrets)


def _of(provider_session_id: str) -> dict[str, Any]:
    if not provider_session_id:
        raise SessionGone("session not created")
    return {"session_id": provider_session_id}


def _new_body(request: SessionRequest) -> dict[str, Any]:
    """The documented names, and only what was chosen: an explicit null is a value to some servers."""
    voice = {"voice_id": request.voice_id, "rate": request.voice_rate, "emotion": request.voice_emotion.lower()}
    idle = request.idle_timeout and min(max(request.idle_timeout, SHORTEST_IDLE), LONGEST_IDLE)
    body = {
        "avatar_id": request.avatar_id,
        "quality": request.quality and str(request.quality),
        "video_encoding": request.video_encoding,
        "voice": _chosen(voice),
        "knowledge_base_id": request.knowledge_base_id,
        "language": request.language,
        "activity_idle_timeout": idle and int(idle.total_seconds()),
        # The service listens in the room only if it is asked to.
        "ia_is_livekit_transport": request.takes_voice or None,
    }
    return {"version": "v2"} | _chosen(body)


def _chosen(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in ("", None, {})}
