"""HeyGen's Streaming API, version 2: sessions over LiveKit. docs/providers.md is the wire."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Self

import httpx

from heygen_portal.providers import answers
from heygen_portal.providers.base import (
    Account,
    AvatarOffer,
    Capabilities,
    CredentialRefused,
    Delivered,
    Delivery,
    KnowledgeBaseOffer,
    LimitReached,
    NotReady,
    OpenSession,
    Provider,
    ProviderError,
    ProviderRejected,
    ProviderSession,
    PushToTalk,
    Quality,
    RoomAccess,
    SessionGone,
    SessionRequest,
    TaskKind,
    VoiceOffer,
)
from heygen_portal.providers.calls import ANSWER_S, SLOW_ANSWER_S, Calls
from heygen_portal.providers.languages import language_code
from heygen_portal.providers.pieces import pieces

SHORTEST_IDLE, LONGEST_IDLE = timedelta(seconds=30), timedelta(seconds=3599)
ALREADY_STARTED = "10003"
QUOTA_PER_CREDIT = 60

REFUSALS = answers.Refusals(
    successes=("100",),
    by_code={
        "10001": NotReady,  # state: new
        "10002": NotReady,  # state: connecting
        "10004": SessionGone,  # state: closing
        "10005": SessionGone,  # state: closed
        "10006": SessionGone,  # not found
        "10007": LimitReached,  # sessions at once
        "10012": ProviderRejected,  # avatar not found
        "10013": ProviderRejected,  # avatar not allowed: comes as 403, but the key is all right
        "10014": LimitReached,  # the service is full
        "10015": LimitReached,  # the trial's limit
        "400123": LimitReached,  # too many calls
        "40009": CredentialRefused,
        "40102": CredentialRefused,
        "400101": CredentialRefused,
        "400112": CredentialRefused,
        "400562": CredentialRefused,  # account not enabled
        "400599": CredentialRefused,  # the plan has no API
        "400631": CredentialRefused,  # account blocked
    },
    # For codes that no source names, and for 400006, which one number uses for every wrong state.
    by_words=(
        ("session not found", SessionGone),
        ("closed", SessionGone),
        ("closing", SessionGone),
        ("session state wrong", NotReady),
        ("not in correct state", NotReady),
        ("concurrent limit", LimitReached),
        ("unauthorized", CredentialRefused),
    ),
    wrong_state="400006",
)


class HeyGen(Provider):
    """One account at HeyGen, or at the emulator in its place."""

    label = "HeyGen Streaming"
    address = "https://api.heygen.com"
    capabilities = Capabilities(
        takes_text=True,
        takes_voice=True,
        hands_free=True,
        push_to_talk=PushToTalk(start='"push_to_talk:start"', stop='"push_to_talk:stop"'),
        listening_is_settled=False,
        interrupts=True,
        commands_in_room=False,
        takes_rooms=True,
        languages=("es", "en"),
        emotions=("excited", "serious", "friendly", "soothing", "broadcaster"),
        qualities=tuple(Quality),
        voice_rate=(0.5, 1.5),
        longest_text=1000,
        longest_idle=LONGEST_IDLE,
        breaks_silence=True,
        key_headers=("x-api-key", "bearer"),
    )

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        is_bearer: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._calls = Calls(base_url, api_key, REFUSALS, is_bearer=is_bearer, transport=transport)

    @classmethod
    def connect(cls, account: Account) -> Self:
        return cls(account.base_url, account.api_key, is_bearer=account.key_header == "bearer")

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

    async def start_session(self, session: ProviderSession) -> ProviderSession:
        payload = _of(session.provider_session_id)
        try:
            answer = await self._post("streaming.start", payload, within=SLOW_ANSWER_S, token=session.credential)
        except ProviderRejected as exc:
            # The number is shared with "avatar version deprecated".
            if exc.code != ALREADY_STARTED or "state" not in str(exc):
                raise
            return session
        return replace(session, room=session.room or _room(answers.mapping(answer)))

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
        data = await self._calls.get("/v1/streaming.list")
        return [
            OpenSession(
                provider_session_id=answers.text(row["session_id"]),
                status=answers.text(row.get("status")),
                created_at=answers.moment(row.get("created_at")),
            )
            for row in answers.rows(data, "sessions", key="session_id")
        ]

    async def credits(self) -> Decimal | None:
        quota = answers.mapping(await self._calls.get("/v2/user/remaining_quota")).get("remaining_quota")
        return answers.amount(quota, per=QUOTA_PER_CREDIT)

    async def list_avatars(self) -> list[AvatarOffer]:
        rows = answers.rows(await self._calls.get("/v1/streaming/avatar.list"), key="avatar_id")
        # The same avatar may be listed several times; the newest counts.
        newest = {
            answers.text(row["avatar_id"]): row
            for row in sorted(rows, key=lambda row: answers.number(row.get("created_at")))
        }
        return [
            AvatarOffer(
                provider_avatar_id=avatar_id,
                name=answers.text(row.get("pose_name")) or avatar_id,
                preview_url=answers.text(row.get("normal_preview")),
                default_voice_id=answers.text(row.get("default_voice")),
                is_active=(answers.text(row.get("status")) or "ACTIVE").upper() == "ACTIVE",
            )
            for avatar_id, row in newest.items()
        ]

    async def list_voices(self) -> list[VoiceOffer]:
        data = await self._calls.get("/v2/voices")
        return [
            VoiceOffer(
                provider_voice_id=answers.text(row["voice_id"]),
                name=(answers.text(row.get("name")) or answers.text(row["voice_id"])).strip(),
                language=language_code(answers.text(row.get("language"))),
                gender=answers.text(row.get("gender")).lower(),
                preview_url=answers.text(row.get("preview_audio")),
                has_emotions=row.get("emotion_support") is True,
            )
            for row in answers.rows(data, "voices", key="voice_id")
        ]

    async def list_knowledge_bases(self) -> list[KnowledgeBaseOffer]:
        data = await self._calls.get("/v1/streaming/knowledge_base/list")
        return [
            KnowledgeBaseOffer(
                provider_knowledge_base_id=answers.text(row["id"]),
                name=answers.text(row.get("name")) or answers.text(row["id"]),
                opening=answers.text(row.get("opening")),
                prompt=answers.text(row.get("prompt")),
            )
            for row in answers.rows(data, "list", key="id")
        ]

    async def create_knowledge_base(self, *, name: str, opening: str, prompt: str) -> str:
        body = {"name": name, "opening": opening, "prompt": prompt}
        made = answers.mapping(await self._post("streaming/knowledge_base/create", body))
        return answers.identifier(made.get("id"), "knowledge_base/create: data.id")

    async def download(self, url: str) -> bytes:
        return await self._calls.download(url)

    async def aclose(self) -> None:
        await self._calls.aclose()

    async def _task(self, provider_session_id: str, text: str, kind: TaskKind) -> Delivered:
        payload = _of(provider_session_id) | {"text": text, "task_type": str(kind), "task_mode": "async"}
        data = answers.mapping(await self._post("streaming.task", payload, may_quote=False))
        return Delivered(
            provider_task_id=answers.text(data.get("task_id"))[: answers.LONGEST_ID],
            duration=answers.duration(data.get("duration_ms"), timedelta(milliseconds=1)),
        )

    async def _create_token(self) -> str:
        data = answers.mapping(await self._post("streaming.create_token", None))
        return answers.secret(data.get("token"), "streaming.create_token: data.token")

    async def _new(self, request: SessionRequest) -> ProviderSession:
        data = answers.mapping(await self._post("streaming.new", _new_body(request), within=SLOW_ANSWER_S))
        return ProviderSession(
            provider_session_id=answers.identifier(data.get("session_id"), "streaming.new: data.session_id"),
            # With a LiveKit of our own there is no room to name.
            room=_room(data),
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
        return await self._calls.post(f"/v1/{name}", payload, within=within, token=token, may_quote=may_quote)


def _room(data: dict[str, Any]) -> RoomAccess | None:
    url, token = answers.text(data.get("url")), answers.text(data.get("access_token"))
    return RoomAccess(url, token) if url and token else None


def _of(provider_session_id: str) -> dict[str, Any]:
    if not provider_session_id:
        raise SessionGone("session not created")
    return {"session_id": provider_session_id}


def _new_body(request: SessionRequest) -> dict[str, Any]:
    """The documented names, and only what was chosen."""
    voice = {"voice_id": request.voice_id, "rate": request.voice_rate, "emotion": request.voice_emotion.lower()}
    room = request.room
    idle = request.idle_timeout and min(max(request.idle_timeout, SHORTEST_IDLE), LONGEST_IDLE)
    body = {
        "avatar_id": request.avatar_id,
        "quality": request.quality and str(request.quality),
        "video_encoding": request.video_encoding,
        "voice": answers.chosen(voice),
        "knowledge_base_id": request.knowledge_base_id,
        "language": request.language,
        "activity_idle_timeout": idle and int(idle.total_seconds()),
        # The service listens in the room only if it is asked to.
        "ia_is_livekit_transport": request.takes_voice or None,
        "silence_response": request.breaks_silence or None,
        "livekit_settings": room and {"url": room.url, "room": room.name, "token": room.token},
    }
    return {"version": "v2"} | answers.chosen(body)
