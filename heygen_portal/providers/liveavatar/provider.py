"""LiveAvatar's API in FULL mode: commands travel in the room.

docs/providers.md describes the wire.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Self

import httpx

from heygen_portal.providers.contract.provider import (
    Account,
    Capabilities,
    CatalogueAvatar,
    CatalogueKnowledgeBase,
    CatalogueVoice,
    CustomModel,
    Delivery,
    LimitReached,
    OpenSession,
    PastSessions,
    Provider,
    ProviderRejected,
    ProviderSession,
    ProviderUnreachable,
    PushToTalk,
    Quality,
    RoomAccess,
    SessionGone,
    SessionRecord,
    SessionRequest,
    SpokenLine,
    StopReason,
    TaskKind,
    VoiceSetting,
)
from heygen_portal.providers.http import parsing
from heygen_portal.providers.http.client import SLOW_ANSWER_SECONDS, ApiClient
from heygen_portal.providers.http.languages import language_code
from heygen_portal.providers.http.transcript_times import parse_times
from heygen_portal.providers.liveavatar import wire

PAGE_SIZE, MAX_PAGES = 100, 100
DETAILS_IN_PARALLEL = 4
# The service's rate limit counts calls per second.
RATE_WINDOW_SECONDS = 1.0
RATE_TRIES = 5


class LiveAvatar(Provider):
    """One account at LiveAvatar, or at the emulator."""

    label = "LiveAvatar"
    address = "https://api.liveavatar.com"
    capabilities = Capabilities(
        takes_text=True,
        takes_voice=True,
        hands_free=True,
        push_to_talk=PushToTalk(
            start='{"event_type": "user.start_push_to_talk"}',
            stop='{"event_type": "user.stop_push_to_talk"}',
            topic=wire.CONTROL_TOPIC,
        ),
        listening_mode_is_fixed=True,
        interrupts=True,
        commands_in_room=True,
        languages=("es", "en"),
        emotions=(),
        qualities=tuple(Quality),
        voice_rate=(0.8, 1.2),
        max_text_characters=2000,
        # The provider's own idle timeout is five minutes, fixed. Ours must come first.
        max_idle_timeout=timedelta(minutes=4),
        speaks_opening=True,
        has_session_records=True,
        can_delete_transcripts=True,
        sandbox_limit=timedelta(seconds=60),
        sandbox_avatar="dd73ea75-1218-4ef3-92ce-606d5f7fbc0a",
        minimum_credits=Decimal(2),
        has_voice_samples=True,
        takes_custom_model=True,
        voice_settings=tuple(map(VoiceSetting, ("stability", "similarity_boost", "style"))),
    )

    sent_as = wire.SENT_AS

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        is_sandbox: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._sandbox_limit = self.capabilities.sandbox_limit if is_sandbox else None
        self._client = ApiClient(base_url, api_key, wire.REFUSALS, transport=transport, kind="liveavatar")

    @classmethod
    def connect(cls, account: Account) -> Self:
        return cls(account.base_url, account.api_key, is_sandbox=account.is_sandbox)

    async def new_session(self, request: SessionRequest) -> ProviderSession:
        body = wire.token_body(request, self._sandbox_limit)
        data = parsing.mapping(await self._create_token(body))
        return ProviderSession(
            provider_session_id=parsing.identifier(data.get("session_id"), "sessions/token: data.session_id"),
            room=None,  # returned by start
            is_paid=self._sandbox_limit is None,
            credential=parsing.required_text(data.get("session_token"), "sessions/token: data.session_token"),
            sent=parsing.as_sent(body),
        )

    async def start_session(self, session: ProviderSession) -> ProviderSession:
        if not session.credential:
            raise SessionGone("session not created")
        # The only call that requires the session's token.
        answer = await self._client.post("/v1/sessions/start", {}, within=SLOW_ANSWER_SECONDS, token=session.credential)
        data = parsing.mapping(answer)
        room = RoomAccess(
            url=parsing.required_text(data.get("livekit_url"), "sessions/start: data.livekit_url"),
            token=parsing.required_text(data.get("livekit_client_token"), "sessions/start: data.livekit_client_token"),
        )
        limit = parsing.duration(data.get(wire.LIMIT_FIELD), timedelta(seconds=1))
        return replace(session, room=room, duration_limit=limit)

    async def send_task(self, provider_session_id: str, *, text: str, kind: TaskKind) -> Delivery:
        return wire.room_command(provider_session_id, wire.SPEECH_COMMANDS[kind], text=text)

    async def interrupt(self, provider_session_id: str) -> Delivery:
        return wire.room_command(provider_session_id, "avatar.interrupt")

    async def keep_alive(self, provider_session_id: str) -> None:
        await self._post_for_session("keep-alive", provider_session_id)

    async def stop_session(self, provider_session_id: str, why: StopReason = StopReason.CLOSED) -> None:
        await self._post_for_session("stop", provider_session_id, reason=wire.STOP_REASONS[why])

    async def list_sessions(self) -> list[OpenSession]:
        return [
            OpenSession(
                provider_session_id=parsing.text(row["id"]),
                status="active",
                created_at=parsing.timestamp(row.get("created_at")),
            )
            for row in await self._pages("/v1/sessions", type="active")
        ]

    async def past_sessions(self, page: int = 1) -> PastSessions:
        asked: dict[str, str | int] = {"type": "historic", "page": page, "page_size": PAGE_SIZE}
        data = parsing.mapping(await self._client.get("/v1/sessions", asked))
        rows = parsing.rows(data.get("results"), key="id")
        return PastSessions(tuple(wire.past_session(row) for row in rows), has_more=bool(data.get("next")))

    async def read_record(self, provider_session_id: str) -> SessionRecord:
        entry = parsing.mapping(await self._get_for_session(provider_session_id))
        started_at = parsing.timestamp(entry.get("created_at"))
        spoken = await self._transcript(provider_session_id)
        times = [parsing.number(row.get("absolute_timestamp")) for row in spoken]
        summary = wire.past_session(entry | {"id": provider_session_id})
        return SessionRecord(
            end_reason=summary.end_reason,
            duration=summary.duration,
            credits=summary.credits,
            lines=tuple(
                SpokenLine(wire.SPEAKERS[row["role"]], parsing.text(row["transcript"]), at)
                for row, at in zip(spoken, parse_times(times, started_at), strict=True)
            ),
        )

    async def forget(self, provider_session_id: str) -> None:
        try:
            await self._client.delete(
                f"/v1/sessions/{parsing.path_segment(wire.require_id(provider_session_id))}/events"
            )
        except ProviderRejected as exc:
            if exc.status not in (404, 410):
                raise
            raise SessionGone(str(exc), code=exc.code, status=exc.status) from exc

    async def add_custom_model(self, model: CustomModel) -> str:
        """Store the token as a secret, then the address in an LLM configuration that refers to it."""
        secret = parsing.mapping(await self._client.post("/v1/secrets", wire.secret_body(model), may_quote=False))
        secret_id = parsing.identifier(secret.get("id"), "secrets: data.id")
        body = wire.configuration_body(model, secret_id)
        made = parsing.mapping(await self._client.post("/v1/llm-configurations", body))
        return parsing.identifier(made.get("id"), "llm-configurations: data.id")

    async def remove_custom_models(self, names: Collection[str]) -> None:
        # Configurations first: they refer to the secrets.
        for path, name_field in (("/v1/llm-configurations", "display_name"), ("/v1/secrets", "secret_name")):
            for row in parsing.rows(await self._client.get(path), key="id"):
                if row.get(name_field) in names:
                    await self._delete(f"{path}/{parsing.path_segment(parsing.text(row['id']))}")

    async def _delete(self, path: str) -> None:
        try:
            await self._client.delete(path)
        except ProviderRejected as exc:
            if exc.status not in (404, 410):
                raise

    async def credits(self) -> Decimal | None:
        left = parsing.mapping(await self._client.get("/v1/users/credits")).get("credits_left")
        return parsing.credit_amount(left)

    async def list_avatars(self) -> list[CatalogueAvatar]:
        public, own = await asyncio.gather(self._pages("/v1/avatars/public"), self._pages("/v1/avatars"))
        return [wire.avatar(row, is_own=is_own) for row, is_own in _merge(public, own)]

    async def list_voices(self) -> list[CatalogueVoice]:
        public, own = await asyncio.gather(
            self._pages("/v1/voices", voice_type="public"), self._pages("/v1/voices", voice_type="private")
        )
        return [wire.voice(row, is_own=is_own) for row, is_own in _merge(public, own)]

    async def list_languages(self) -> list[str]:
        rows = parsing.rows(await self._client.get("/v1/languages"), key="code")
        codes = [parsing.text(row["code"]) for row in rows]
        # A code that the portal writes otherwise would be refused when it is sent back.
        return [code for code in dict.fromkeys(codes) if language_code(code) == code]

    async def list_knowledge_bases(self) -> list[CatalogueKnowledgeBase]:
        listed = await self._pages("/v1/contexts")
        slots = asyncio.Semaphore(DETAILS_IN_PARALLEL)

        async def read(row: dict[str, Any]) -> CatalogueKnowledgeBase:
            async with slots:  # the list has only names
                return wire.context(
                    row, parsing.mapping(await self._get_with_retry(f"/v1/contexts/{parsing.text(row['id'])}"))
                )

        return list(await asyncio.gather(*(read(row) for row in listed)))

    async def create_knowledge_base(self, *, name: str, opening: str, prompt: str) -> str:
        body = {"name": name, "opening_text": opening, "prompt": prompt}
        made = parsing.mapping(await self._client.post("/v1/contexts", body))
        return parsing.identifier(made.get("id"), "contexts: data.id")

    async def change_knowledge_base(self, base: CatalogueKnowledgeBase) -> None:
        body = {"name": base.name, "opening_text": base.opening, "prompt": base.prompt}  # refused unless complete
        await self._client.patch(f"/v1/contexts/{parsing.path_segment(base.provider_knowledge_base_id)}", body)

    async def delete_knowledge_base(self, provider_knowledge_base_id: str) -> None:
        await self._client.delete(f"/v1/contexts/{parsing.path_segment(provider_knowledge_base_id)}")

    async def download(self, url: str) -> bytes:
        return await self._client.download(url)

    async def voice_sample(self, provider_voice_id: str, url: str) -> bytes:
        answer = parsing.mapping(
            await self._client.get(f"/v1/voices/{parsing.path_segment(provider_voice_id)}/preview")
        )
        try:
            return b64decode(parsing.text(answer.get("audio_base64")), validate=True)
        except ValueError as exc:
            raise ProviderUnreachable("voices/preview: no usable sound") from exc

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _create_token(self, body: dict[str, Any]) -> Any:
        try:
            return await self._client.post("/v1/sessions/token", body, within=SLOW_ANSWER_SECONDS)
        except ProviderRejected as exc:
            if body.pop(wire.LIMIT_FIELD, None) is None or wire.LIMIT_FIELD not in str(exc):
                raise
        # The plan's limit is shorter than ours; the response to start contains it.
        return await self._client.post("/v1/sessions/token", body, within=SLOW_ANSWER_SECONDS)

    async def _post_for_session(self, action: str, provider_session_id: str, **more: str) -> None:
        """Send an action with the key, as the session's token may have expired."""
        body = {"session_id": wire.require_id(provider_session_id), **more}
        try:
            await self._client.post(f"/v1/sessions/{action}", body)
        except ProviderRejected as exc:
            if exc.status not in (404, 410):
                raise
            raise SessionGone(str(exc), code=exc.code, status=exc.status) from exc

    async def _get_for_session(self, provider_session_id: str, part: str = "", **params: int) -> Any:
        return await self._client.get(f"/v1/sessions/{wire.require_id(provider_session_id)}{part}", params)

    async def _transcript(self, provider_session_id: str) -> list[dict[str, Any]]:
        """Return the rows of all pages of the transcript that have a speaker."""
        rows: list[dict[str, Any]] = []
        since: dict[str, int] = {}
        for _ in range(MAX_PAGES):
            data = parsing.mapping(await self._get_for_session(provider_session_id, "/transcript", **since))
            rows += parsing.rows(data, "transcript_data", key="transcript")
            following = data.get("next_timestamp")
            if not isinstance(following, int) or following <= since.get("start_timestamp", -1):
                break
            since = {"start_timestamp": following}
        return [row for row in rows if row.get("role") in wire.SPEAKERS]

    async def _pages(self, path: str, **params: str | int) -> list[dict[str, Any]]:
        """Return the rows of all pages.

        Raises ProviderUnreachable if the list does not end.
        """
        found: list[dict[str, Any]] = []
        for page in range(1, MAX_PAGES + 1):
            data = parsing.mapping(await self._get_with_retry(path, {**params, "page": page, "page_size": PAGE_SIZE}))
            found += parsing.rows(data.get("results"), key="id")
            if not data.get("next"):
                return found
        raise ProviderUnreachable(f"{path}: the list has no end")

    async def _get_with_retry(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Get one of many small resources, retrying when rate limited."""
        for _ in range(RATE_TRIES):
            try:
                return await self._client.get(path, params)
            except LimitReached:
                await asyncio.sleep(RATE_WINDOW_SECONDS)
        return await self._client.get(path, params)


def _merge(public: Iterable[dict[str, Any]], own: Iterable[dict[str, Any]]) -> Iterable[tuple[dict[str, Any], bool]]:
    """Return each row once, with whether it is the account's own.

    Own rows take precedence.
    """
    return {
        parsing.text(row["id"]): (row, is_own) for is_own, rows in ((False, public), (True, own)) for row in rows
    }.values()
