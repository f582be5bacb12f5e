"""HeyGen's Streaming API, version 2: sessions over LiveKit.

docs/providers.md describes the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, BinaryIO, Self

import httpx

from heygen_portal.providers.contract.catalogue import ProviderEvent
from heygen_portal.providers.contract.provider import (
    Account,
    Capabilities,
    CatalogueAvatar,
    CatalogueKnowledgeBase,
    CatalogueVoice,
    Delivered,
    Delivery,
    OpenSession,
    PastSessions,
    Provider,
    ProviderError,
    ProviderRejected,
    ProviderSession,
    PushToTalk,
    Quality,
    SessionRequest,
    StopReason,
    TaskKind,
    VoiceSetting,
)
from heygen_portal.providers.contract.videos import VideoRequest, VideoStatus
from heygen_portal.providers.heygen import chat_socket, videos, wire
from heygen_portal.providers.http import parsing
from heygen_portal.providers.http.client import ANSWER_SECONDS, SLOW_ANSWER_SECONDS, ApiClient
from heygen_portal.providers.http.text_chunks import split_text

ALREADY_STARTED = "10003"
QUOTA_PER_CREDIT = 60
PAGE_SIZE = 10  # as documented


class HeyGen(Provider):
    """One account at HeyGen, or at the emulator."""

    label = "HeyGen Streaming"
    address = "https://api.heygen.com"
    capabilities = Capabilities(
        takes_text=True,
        takes_voice=True,
        hands_free=True,
        push_to_talk=PushToTalk(start='"push_to_talk:start"', stop='"push_to_talk:stop"'),
        listening_mode_is_fixed=False,
        interrupts=True,
        commands_in_room=False,
        accepts_own_rooms=True,
        languages=("es", "en"),
        emotions=("excited", "serious", "friendly", "soothing", "broadcaster"),
        qualities=tuple(Quality),
        voice_rate=(0.5, 1.5),
        max_text_characters=1000,
        max_idle_timeout=wire.MAX_IDLE_TIMEOUT,
        breaks_silence=True,
        accepts_history=True,
        has_event_socket=True,
        makes_videos=True,
        max_video_text_characters=videos.MAX_TEXT_CHARACTERS,
        key_headers=("x-api-key", "bearer"),
        voice_settings=tuple(map(VoiceSetting, ("stability", "similarity_boost", "style"))),
    )

    sent_as = wire.SENT_AS

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        is_bearer: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = ApiClient(
            base_url, api_key, wire.REFUSALS, is_bearer=is_bearer, transport=transport, kind="heygen"
        )

    @classmethod
    def connect(cls, account: Account) -> Self:
        return cls(account.base_url, account.api_key, is_bearer=account.key_header == "bearer")

    async def new_session(self, request: SessionRequest) -> ProviderSession:
        # The documented order is token, new, start. Only start needs the token, so both requests run
        # in parallel, the token's first, and the token adds no delay.
        token = asyncio.create_task(self._create_token())
        opened = asyncio.create_task(self._new_session(request))
        try:
            session = await opened
        except BaseException:
            token.cancel()
            await asyncio.gather(token, return_exceptions=True)
            raise
        try:
            return replace(session, credential=await token)
        except BaseException:
            # The session will never be started, and costs money while it is open.
            with suppress(ProviderError):
                await self.stop_session(session.provider_session_id)
            raise

    async def start_session(self, session: ProviderSession) -> ProviderSession:
        payload = wire.session_body(session.provider_session_id)
        try:
            answer = await self._post("streaming.start", payload, within=SLOW_ANSWER_SECONDS, token=session.credential)
        except ProviderRejected as exc:
            # "avatar version deprecated" has the same code.
            if exc.code != ALREADY_STARTED or "state" not in str(exc):
                raise
            return session
        return replace(session, room=session.room or wire.room(parsing.mapping(answer)))

    async def send_task(self, provider_session_id: str, *, text: str, kind: TaskKind) -> Delivery:
        if not isinstance(kind, TaskKind):
            raise ProviderRejected("streaming.task: there is no task of this type")
        # The service refuses longer texts. It queues the chunks and speaks them in order.
        chunks = split_text(text, self.capabilities.max_text_characters)
        sent = [await self._send_chunk(provider_session_id, chunk, kind) for chunk in chunks]
        return sent[0]

    async def interrupt(self, provider_session_id: str) -> Delivery:
        await self._post("streaming.interrupt", wire.session_body(provider_session_id))
        return Delivered()

    async def keep_alive(self, provider_session_id: str) -> None:
        await self._post("streaming.keep_alive", wire.session_body(provider_session_id))

    async def stop_session(self, provider_session_id: str, why: StopReason = StopReason.CLOSED) -> None:
        await self._post("streaming.stop", wire.session_body(provider_session_id))

    async def list_sessions(self) -> list[OpenSession]:
        data = await self._client.get("/v1/streaming.list")
        return [
            OpenSession(
                provider_session_id=parsing.text(row["session_id"]),
                status=parsing.text(row.get("status")),
                created_at=parsing.timestamp(row.get("created_at")),
            )
            for row in parsing.rows(data, "sessions", key="session_id")
        ]

    async def past_sessions(self, page: int = 1) -> PastSessions:
        asked: dict[str, str | int] = {"status": "closed", "page": page, "page_size": PAGE_SIZE}
        data = await self._client.get("/v2/streaming.list", asked)
        # Sources disagree on whether the rows are in the envelope or below `data`, and on the name of the
        # next page's token.
        rows = parsing.rows(data, "data", key="session_id")
        return PastSessions(tuple(wire.past_session(row) for row in rows), has_more=len(rows) == PAGE_SIZE)

    def listen(self, provider_session_id: str) -> AsyncGenerator[ProviderEvent, None]:
        return chat_socket.listen(self._client, provider_session_id)

    async def make_video(self, request: VideoRequest) -> str:
        return await videos.make(self._client, request)

    async def video_status(self, provider_video_id: str) -> VideoStatus:
        return await videos.status(self._client, provider_video_id)

    async def find_video(self, reference: str) -> str:
        return await videos.find(self._client, reference)

    async def save_video(self, url: str, into: BinaryIO) -> None:
        await self._client.save(url, into)

    async def credits(self) -> Decimal | None:
        quota = parsing.mapping(await self._client.get("/v2/user/remaining_quota")).get("remaining_quota")
        return parsing.credit_amount(quota, per=QUOTA_PER_CREDIT)

    async def list_avatars(self) -> list[CatalogueAvatar]:
        rows = parsing.rows(await self._client.get("/v1/streaming/avatar.list"), key="avatar_id")
        # An avatar can be listed several times; the newest row counts.
        newest = {
            parsing.text(row["avatar_id"]): row
            for row in sorted(rows, key=lambda row: parsing.number(row.get("created_at")))
        }
        return [wire.avatar(row) for row in newest.values()]

    async def list_voices(self) -> list[CatalogueVoice]:
        data = await self._client.get("/v2/voices")
        return [wire.voice(row) for row in parsing.rows(data, "voices", key="voice_id")]

    async def list_knowledge_bases(self) -> list[CatalogueKnowledgeBase]:
        data = await self._client.get("/v1/streaming/knowledge_base/list")
        return [wire.knowledge_base(row) for row in parsing.rows(data, "list", key="id")]

    async def create_knowledge_base(self, *, name: str, opening: str, prompt: str) -> str:
        body = {"name": name, "opening": opening, "prompt": prompt}
        made = parsing.mapping(await self._post("streaming/knowledge_base/create", body))
        return parsing.identifier(made.get("id"), "knowledge_base/create: data.id")

    async def change_knowledge_base(self, base: CatalogueKnowledgeBase) -> None:
        body = {"name": base.name, "opening": base.opening, "prompt": base.prompt}
        await self._post(f"streaming/knowledge_base/{parsing.path_segment(base.provider_knowledge_base_id)}", body)

    async def delete_knowledge_base(self, provider_knowledge_base_id: str) -> None:
        await self._client.delete(f"/v1/streaming/knowledge_base/{parsing.path_segment(provider_knowledge_base_id)}")

    async def download(self, url: str) -> bytes:
        return await self._client.download(url)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _send_chunk(self, provider_session_id: str, text: str, kind: TaskKind) -> Delivered:
        payload = wire.session_body(provider_session_id) | {"text": text, "task_type": str(kind), "task_mode": "async"}
        data = parsing.mapping(await self._post("streaming.task", payload, may_quote=False))
        return Delivered(
            provider_task_id=parsing.text(data.get("task_id"))[: parsing.MAX_ID_CHARACTERS],
            duration=parsing.duration(data.get("duration_ms"), timedelta(milliseconds=1)),
        )

    async def _create_token(self) -> str:
        data = parsing.mapping(await self._post("streaming.create_token", None))
        return parsing.required_text(data.get("token"), "streaming.create_token: data.token")

    async def _new_session(self, request: SessionRequest) -> ProviderSession:
        body = wire.new_session_body(request)
        data = parsing.mapping(await self._post("streaming.new", body, within=SLOW_ANSWER_SECONDS))
        return ProviderSession(
            provider_session_id=parsing.identifier(data.get("session_id"), "streaming.new: data.session_id"),
            # None for sessions in a room of our own.
            room=wire.room(data),
            duration_limit=parsing.duration(data.get("session_duration_limit"), timedelta(seconds=1)),
            is_paid=data["is_paid"] if isinstance(data.get("is_paid"), bool) else None,
            sent=parsing.as_sent(body),
        )

    async def _post(
        self,
        name: str,
        payload: dict[str, Any] | None,
        *,
        within: float = ANSWER_SECONDS,
        token: str = "",
        may_quote: bool = True,
    ) -> Any:
        return await self._client.post(f"/v1/{name}", payload, within=within, token=token, may_quote=may_quote)
