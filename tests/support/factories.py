"""Factories of valid rows. A test passes only what differs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import factory
from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from factory.django import DjangoModelFactory

from avatars.models import (
    Avatar,
    HttpTool,
    HttpToolVersion,
    KnowledgeBase,
    ModelService,
    Persona,
    PersonaContent,
    PersonaVersion,
    ProviderAccount,
    Video,
    Voice,
)
from heygen_portal.models import ApiKey
from heygen_portal.people.access import roles
from sessions.models import RUNNING, Conversation, EndReason, SessionHead, Status, StreamingSession

WHY = {"code": "person", "user": None}
"""End evidence for tests that do not care."""


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User

    username = factory.Sequence("person-{}".format)


def sync_roles() -> None:
    """Store roles and permissions where they are missing.

    PostgreSQL's tables start empty.
    """
    if not Permission.objects.filter(codename="start_streamingsession").exists():
        ContentType.objects.clear_cache()
        for app in apps.get_app_configs():
            create_permissions(app, verbosity=0)
        roles.sync()
    elif not Group.objects.filter(name=roles.END_USER.group).exists():
        roles.sync()


class EndUserFactory(UserFactory):
    """A user who may talk with avatars."""

    class Meta:
        skip_postgeneration_save = True

    @factory.post_generation
    def role(self: User, create: bool, extracted: object) -> None:
        sync_roles()
        self.groups.add(Group.objects.get(name=roles.END_USER.group))


class ProviderAccountFactory(DjangoModelFactory[ProviderAccount]):
    class Meta:
        model = ProviderAccount

    name = factory.Sequence("Account {}".format)
    base_url = "https://provider.test"
    api_key = "a-key-that-nobody-may-see"
    concurrency_limit = 100


class ModelServiceFactory(DjangoModelFactory[ModelService]):
    class Meta:
        model = ModelService

    name = factory.Sequence("Models {}".format)
    base_url = "https://models.test/v1"
    api_key = "a-key-that-nobody-may-see"
    chat_model = "a-model"


class HttpToolFactory(DjangoModelFactory[HttpTool]):
    """A tool with its first version, as `avatars.tools.versions` saves it."""

    class Meta:
        model = HttpTool
        skip_postgeneration_save = True

    name = factory.Sequence("tool_{}".format)
    description = "Says where an order is."
    url = "https://shop.test/orders/{order}"
    arguments = '{"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}'
    secret_headers = "Authorization: Bearer a-key-that-nobody-may-see"
    version = 1

    @factory.post_generation
    def kept(self: HttpTool, create: bool, extracted: object) -> None:
        content = {name: getattr(self, name) for name in HttpTool.content_fields()}
        HttpToolVersion.objects.create(tool=self, number=self.version, **content)


class AvatarFactory(DjangoModelFactory[Avatar]):
    class Meta:
        model = Avatar

    account = factory.SubFactory(ProviderAccountFactory)
    name = "Lucía"
    provider_avatar_id = factory.Sequence("avatar-{}".format)
    last_seen_at = factory.LazyFunction(timezone.now)


class VoiceFactory(DjangoModelFactory[Voice]):
    class Meta:
        model = Voice

    account = factory.SubFactory(ProviderAccountFactory)
    name = "Clara"
    provider_voice_id = factory.Sequence("voice-{}".format)
    language = "es"
    last_seen_at = factory.LazyFunction(timezone.now)


class KnowledgeBaseFactory(DjangoModelFactory[KnowledgeBase]):
    class Meta:
        model = KnowledgeBase

    account = factory.SubFactory(ProviderAccountFactory)
    name = "Recepción"
    provider_knowledge_base_id = factory.Sequence("knowledge-{}".format)
    last_seen_at = factory.LazyFunction(timezone.now)


class PersonaFactory(DjangoModelFactory[Persona]):
    class Meta:
        model = Persona
        skip_postgeneration_save = True

    class Params:
        published = factory.Trait(status=Persona.Status.PUBLISHED, version=1)

    name = "Lucía"
    slug = factory.Sequence("lucia-{}".format)
    language = "es"
    avatar = factory.SubFactory(AvatarFactory)
    voice = factory.SubFactory(VoiceFactory, account=factory.SelfAttribute("..avatar.account"))
    knowledge_base = factory.SubFactory(KnowledgeBaseFactory, account=factory.SelfAttribute("..avatar.account"))

    @factory.post_generation
    def kept(self: Persona, create: bool, extracted: object) -> None:
        """Give published personas a version."""
        if create and self.version:
            composed = {name: getattr(self, name) for name in PersonaContent.content_fields()}
            version = PersonaVersion.objects.create(persona=self, number=self.version, **composed)
            self.current, self.published_at = version, version.saved_at
            self.save(update_fields=["current", "published_at"])


class ApiKeyFactory(DjangoModelFactory[ApiKey]):
    """A key before `people.api_keys.keys.create` gives it a secret. Use `build`."""

    class Meta:
        model = ApiKey

    name = "CRM sync"
    scopes = "sessions:start"
    owner = factory.SubFactory(UserFactory)
    created_by = factory.SelfAttribute("owner")


class VideoFactory(DjangoModelFactory[Video]):
    """A recorded video that is about to be ordered."""

    class Meta:
        model = Video

    title = "Bienvenida"
    text = "Hola, soy Lucía."
    avatar = factory.SubFactory(AvatarFactory)
    voice = factory.SubFactory(VoiceFactory, account=factory.SelfAttribute("..avatar.account"))
    created_by = factory.SubFactory(UserFactory)


class StreamingSessionFactory(DjangoModelFactory[StreamingSession]):
    """A session in any status, with all columns that the status requires."""

    class Meta:
        model = StreamingSession

    user = factory.SubFactory(UserFactory)
    persona = factory.SubFactory(PersonaFactory, published=True)
    account = factory.SelfAttribute("persona.avatar.account")
    persona_version = factory.SelfAttribute("persona.version")
    persona_settings = factory.LazyAttribute(lambda row: row.persona.snapshot())
    status = Status.LIVE
    provider_session_id = factory.Sequence("their-session-{}".format)
    created_at = factory.LazyFunction(timezone.now)
    active_at = factory.SelfAttribute("created_at")
    ends_at = factory.LazyAttribute(lambda row: row.created_at + timedelta(minutes=20))
    live_at = factory.LazyAttribute(lambda row: row.created_at if _had_picture(row.status) else None)
    deadline_at = factory.LazyAttribute(lambda row: None if row.status == Status.ENDED else row.ends_at)
    ended_at = factory.LazyAttribute(lambda row: row.created_at if row.status == Status.ENDED else None)
    end_reason = factory.LazyAttribute(lambda row: "" if row.status in RUNNING else EndReason.USER_STOPPED)
    end_evidence = factory.LazyAttribute(lambda row: {} if row.status in RUNNING else WHY)

    @classmethod
    def _create(cls, model_class: type[StreamingSession], *args: Any, **kwargs: Any) -> StreamingSession:
        """Store a session with a signed, empty record.

        It gets a conversation unless it continues one.
        """
        if continues := kwargs.get("continues"):
            kwargs.setdefault("conversation", continues.conversation)
        kwargs.setdefault("id", uuid4())
        if "conversation" not in kwargs:
            kwargs["conversation"] = a_conversation(model_class(**kwargs))
        session: StreamingSession = super()._create(model_class, *args, **kwargs)
        SessionHead.objects.create(session=session, number=0, signature=SessionHead.sign(session.pk, 0, ""))
        return session


def a_conversation(first: StreamingSession) -> Conversation:
    """Store the conversation that starts with a session about to be stored."""
    return Conversation.objects.create(
        id=first.pk,
        user=first.user,
        guest=first.guest,
        persona=first.persona,
        started_at=first.created_at,
        ended_at=first.ended_at,
    )


def _had_picture(status: Any) -> bool:
    return status in (Status.LIVE, Status.STOPPING, Status.ENDED)


def user_of(session: StreamingSession) -> User:
    """Return the user of a session that is not a guest's."""
    assert session.user
    return session.user
