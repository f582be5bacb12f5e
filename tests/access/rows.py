"""One row of each model, so that no address is "not found" for lack of a row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.db.models import Model
from django.utils import timezone

from avatars.models import Chunk, Document, DocumentVersion, Library
from heygen_portal.models import ApiKey, BrandPicture, Invitation, Organisation, Webhook
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys import keys
from heygen_portal.people.invitations import joining
from heygen_portal.trail import audit_log
from heygen_portal.trail.change_log import SERVER
from heygen_portal.trail.models import AuditEntry
from heygen_portal.webhooks import changes, signatures
from sessions.capacity import guests
from sessions.embed import admission
from sessions.models import (
    Answer,
    Erasure,
    Export,
    GuestLink,
    HistoryCheck,
    Incident,
    LegalHold,
    PersonaEmbed,
    QueueEntry,
    Quota,
    ServerProcess,
    SessionTotal,
    Status,
)
from tests.support.factories import (
    ApiKeyFactory,
    HttpToolFactory,
    ModelServiceFactory,
    PersonaFactory,
    StreamingSessionFactory,
    UserFactory,
    VideoFactory,
)
from tests.support.messages import left_message

SITE = "https://www.examplia.test"
ROLES = {
    "u": roles.END_USER,
    "e": roles.EDITOR,
    "o": roles.OPERATOR,
    "a": roles.AUDITOR,
    "m": roles.ADMINISTRATOR,
}


def make_member(letter: str) -> User:
    """Create a user with one role."""
    role = ROLES[letter]
    user = User.objects.create_user(f"role-{letter}", password="a-long-passphrase", is_staff=role.is_staff)
    user.groups.add(Group.objects.get(name=role.group))
    return user


def make_answer(session: Any) -> Answer:
    """Create an answer that cites a passage."""
    library = Library.objects.create(name=f"Library of {session.pk}")
    document = Document.objects.create(library=library, title="Opening hours")
    version = DocumentVersion.objects.create(document=document, number=1, fingerprint="0", state="ready")
    chunk = Chunk.objects.create(version=version, ordinal=1, text="We open at nine.", fingerprint="1")
    task = session.tasks.create(kind="talk", text="When?", ref="asked", status="sent")
    return Answer.objects.create(
        session=session,
        task=task,
        state=Answer.State.ANSWERED,
        ended_at=timezone.now(),
        passages=[{"chunk": chunk.pk, "fingerprint": "1"}],
        sentences=[{"task": task.pk, "citations": [1]}],
    )


@dataclass
class Rows:
    """The rows that addresses refer to.

    `own` belongs to the requesting user, everything else to another one.
    """

    asker: User | None
    is_guest: bool = False
    visit: str = ""  # the guest's token
    models: dict[str, Model] = field(default_factory=dict)

    def __post_init__(self) -> None:
        other_user = UserFactory.create()
        published: Any = PersonaFactory.create(published=True, slug="lucia")
        published.avatar.preview.save("a.webp", ContentFile(b"RIFF"))
        self.another = StreamingSessionFactory.create(persona=published, status=Status.ENDED)
        self.embed = PersonaEmbed.objects.create(
            persona=published, public_id="lucias-embed", is_enabled=True, origins=[SITE], challenge="never"
        )
        link = GuestLink.objects.create(
            embed=self.embed, label="A link", expires_at=timezone.now() + timedelta(days=1), max_uses=9
        )
        self.signed = admission.signed_code(link)
        owner: dict[str, Any] = {"user": self.asker or other_user}
        if self.is_guest:
            admitted = admission.admit(self.embed, {"origin": SITE}, device="", address=None)
            self.visit, self.socket_token = admitted.visit_token, admitted.socket_token
            owner = {"user": None, "guest": guests.admit(admitted.visit, None, has_guardian=False)}
        self.own = StreamingSessionFactory.create(persona=published, **owner, status=Status.ENDED)
        self.answer = make_answer(self.own)
        published.voice.preview_url = "https://provider.test/sample.mp3"
        published.voice.save()
        video = VideoFactory.create(avatar=published.avatar)
        video.file.save("a.mp4", ContentFile(b"film"))
        process = ServerProcess.objects.create(lease_ends_at=timezone.now() + timedelta(days=1))
        by = {"session": self.another, "by": other_user}
        group = Group.objects.get(name=roles.END_USER.group)
        incident_times = ("first_failed_at", "last_failed_at", "opened_at")
        content = b"a picture"
        self.picture = BrandPicture.objects.create(
            sha256=hashlib.sha256(content).hexdigest(), content=content, width=1, height=1
        )
        webhook = Webhook.objects.create(name="CRM", url="https://crm.test/", secret=signatures.new_secret())
        delivery = changes.send_test(webhook)
        rows: list[Any] = [
            other_user,
            group,
            Invitation.objects.create(
                email="ines@example.org",
                group=group,
                invited_by=other_user,
                expires_at=timezone.now() + joining.INVITATION_LIFETIME,
            ),
            audit_log.record(None, AuditEntry.Kind.KEY_SET, "somebody"),
            self._api_key(other_user),
            Organisation.objects.get(),
            delivery.webhook,
            delivery,
            published.avatar.account,
            ModelServiceFactory.create(),
            HttpToolFactory.create(),
            published.avatar,
            published.voice,
            published.knowledge_base,
            Library.objects.create(name="Account help"),
            PersonaFactory.create(avatar=published.avatar),  # a draft: it may be deleted
            video,
            StreamingSessionFactory.create(persona=published, created_at=timezone.now() - timedelta(minutes=1)),
            QueueEntry.objects.create(
                user=other_user, account=published.avatar.account, persona=published, process=process, channel="a-tab"
            ),
            Export.objects.create(asked_by=other_user, what="sessions", format="csv", state="sent"),
            HistoryCheck.objects.create(),
            Incident.objects.create(
                check_name="worker", cause="never", **dict.fromkeys(incident_times, timezone.now())
            ),
            left_message(StreamingSessionFactory.create(persona=published)),
            LegalHold.objects.create(reason="A court asks", **by),
            Erasure.objects.create(cause="asked", lines=0, hash="0", at_provider="nothing", **by),
            Quota.objects.create(user=other_user),
            SessionTotal.objects.create(
                session=self.another,
                account=published.avatar.account,
                persona=published,
                day=timezone.localdate(),
                time=timedelta(minutes=1),
                estimated=1,
            ),
        ]
        self.models = {row._meta.label_lower: row for row in rows}

    @staticmethod
    def _api_key(owner: User) -> ApiKey:
        key = ApiKeyFactory.build(owner=owner, created_by=owner)
        keys.create(key, SERVER)
        return key

    def of(self, model: str) -> Any:
        """Return the primary key of the row of a model, given as app label and name."""
        return self.models[model].pk

    def args(self, names: set[str], model: str = "") -> dict[str, Any]:
        """Return the URL arguments with these names."""
        invitation = self.models["heygen_portal.invitation"]
        assert isinstance(invitation, Invitation)
        rows: dict[str, Any] = {
            "session_id": self.own.pk,
            "answer_id": self.answer.pk,
            "number": 1,
            "avatar_id": self.of("avatars.avatar"),
            "voice_id": self.of("avatars.voice"),
            "video_id": self.of("avatars.video"),
            "export_id": self.of("avatar_sessions.export"),
            "slug": "lucia",
            "public_id": self.embed.public_id,
            "sha256": self.picture.sha256,
            "signed": self.signed,
            "token": joining.token_of(invitation),
            "provider_id": "sso",
            "uidb36": "1",
            "key": "no-key",
            "extension": "json",
            "rest": "",
            "app_label": "avatars",
            "content_type_id": 1,
            "id": self.of("auth.user"),
        }
        if model:
            rows["object_id"] = self.of(model)
        else:
            rows["object_id"] = 1
        return {name: rows[name] for name in names}
