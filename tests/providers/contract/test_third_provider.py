"""A third provider as a single class: an example and a test of the contract."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Self

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from avatars.catalogue import sync
from avatars.models import Avatar, KnowledgeBase, Persona, ProviderAccount, Voice
from avatars.personas import publishing
from heygen_portal import providers
from heygen_portal.providers.contract.provider import (
    Account,
    Capabilities,
    CatalogueAvatar,
    CatalogueKnowledgeBase,
    CatalogueVoice,
    Delivered,
    Delivery,
    OpenSession,
    Provider,
    ProviderSession,
    Quality,
    RoomAccess,
    SessionGone,
    SessionRequest,
    StopReason,
    TaskKind,
)
from sessions.actions import control, provision, send_task, stop
from sessions.lifecycle import transitions
from sessions.models import EndReason, SessionTask, Status
from tests.support.factories import EndUserFactory, ProviderAccountFactory


class Parrot(Provider):
    """Repeats every text. Has one avatar and one voice."""

    label, address = "Parrot", "https://parrot.test"
    capabilities = Capabilities(
        takes_text=True,
        takes_voice=False,
        hands_free=False,
        push_to_talk=None,
        listening_mode_is_fixed=True,
        interrupts=False,
        commands_in_room=False,
        languages=("es",),
        emotions=("cheeky",),
        qualities=(Quality.LOW,),
        voice_rate=(1.0, 1.0),
        max_text_characters=20,
        max_idle_timeout=timedelta(hours=1),
    )
    open: dict[str, list[str]] = {}

    @classmethod
    def connect(cls, account: Account) -> Self:
        return cls()

    async def new_session(self, request: SessionRequest) -> ProviderSession:
        self.open["s1"] = []
        return ProviderSession("s1", RoomAccess("ws://parrot.test", "t"))

    async def start_session(self, session: ProviderSession) -> ProviderSession:
        return session

    async def send_task(self, provider_session_id: str, *, text: str, kind: TaskKind) -> Delivery:
        self.open[provider_session_id].append(text)
        return Delivered("t1")

    async def interrupt(self, provider_session_id: str) -> Delivery:
        return Delivered()

    async def keep_alive(self, provider_session_id: str) -> None: ...

    async def stop_session(self, provider_session_id: str, why: StopReason = StopReason.CLOSED) -> None:
        if self.open.pop(provider_session_id, None) is None:
            raise SessionGone("flown")

    async def list_sessions(self) -> list[OpenSession]:
        return [OpenSession(session_id, "squawking", None) for session_id in self.open]

    async def credits(self) -> Decimal | None:
        return None

    async def list_avatars(self) -> list[CatalogueAvatar]:
        return [CatalogueAvatar("bird", "Bird", "", "squawk", is_active=True)]

    async def list_voices(self) -> list[CatalogueVoice]:
        return [CatalogueVoice("squawk", "Squawk", "es", "", "", has_emotions=True)]

    async def list_knowledge_bases(self) -> list[CatalogueKnowledgeBase]:
        return [CatalogueKnowledgeBase("crackers", "Crackers", "", "Wants one.")]

    async def create_knowledge_base(self, *, name: str, opening: str, prompt: str) -> str:
        return "seeds"

    async def change_knowledge_base(self, base: CatalogueKnowledgeBase) -> None: ...

    async def delete_knowledge_base(self, provider_knowledge_base_id: str) -> None: ...

    async def download(self, url: str) -> bytes:
        return b""

    async def aclose(self) -> None: ...


@pytest.fixture(autouse=True)
def parrot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(providers.KINDS, "parrot", Parrot)
    Parrot.open.clear()


@sync_to_async
def published() -> Persona:
    account = ProviderAccount.objects.get(kind="parrot")
    persona = Persona.objects.create(
        slug="bird",
        name="Bird",
        avatar=Avatar.objects.get(account=account),
        voice=Voice.objects.get(account=account),
        knowledge_base=KnowledgeBase.objects.get(account=account),
        voice_emotion="cheeky",
        quality="low",
    )
    publishing.publish(persona)
    return persona


@pytest.mark.django_db(transaction=True)
async def test_a_conversation_runs_on_a_third_provider() -> None:
    account = await sync_to_async(ProviderAccountFactory.create)(kind="parrot")
    await sync.sync_catalogue(account)
    persona = await published()
    person = await sync_to_async(EndUserFactory.create)()
    rooms: list[RoomAccess] = []

    async def give_room(room: RoomAccess) -> None:
        rooms.append(room)

    async with providers.closing_providers():
        session = await sync_to_async(transitions.request)(persona, person.pk)
        await provision.create_and_start(session, give_room)
        assert rooms == [RoomAccess("ws://parrot.test", "t")]
        await control.first_frame_rendered(session.pk)
        task = await sync_to_async(SessionTask.objects.create)(session=session, kind="talk", text="¿Galleta?")
        await send_task.deliver(session, task)
        assert Parrot.open == {"s1": ["¿Galleta?"]}
        await stop.stop(session, EndReason.USER_STOPPED, {})
    await session.arefresh_from_db()
    assert (session.status, Parrot.open) == (Status.ENDED, {})


@pytest.mark.django_db
def test_a_third_provider_appears_in_the_admin_with_its_capabilities(admin_client: Client) -> None:
    page = admin_client.get("/admin/avatars/provideraccount/add/").content.decode()
    assert '<option value="parrot">Parrot</option>' in page
    assert "cheeky" in admin_client.get("/admin/avatars/persona/add/").content.decode()
