"""Forms, permissions and pages of recorded videos. Requirement 74."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client

from avatars.models import Video
from heygen_portal.people.access import roles
from tests.support.factories import AvatarFactory, ProviderAccountFactory, VideoFactory, VoiceFactory

pytestmark = pytest.mark.django_db

ADD = "/admin/avatars/video/add/"
FILM = b"\0\0\0\x18ftypisom" + bytes(range(200))


def make_member(role: roles.Role) -> User:
    roles.sync()
    user = User.objects.create_user(role.group, is_staff=role.is_staff)
    user.groups.add(Group.objects.get(name=role.group))
    return user


def sign_in(role: roles.Role) -> Client:
    client = Client()
    client.force_login(make_member(role))
    return client


def form(**changes: Any) -> dict[str, Any]:
    avatar = changes.pop("avatar", None) or AvatarFactory.create()
    voice = changes.pop("voice", None) or VoiceFactory.create(account=avatar.account)
    return {"title": "Bienvenida", "text": "Hola", "avatar": avatar.pk, "voice": voice.pk} | changes


def test_an_editor_creates_a_video_that_cannot_be_changed() -> None:
    client = sign_in(roles.EDITOR)
    assert client.post(ADD, form()).status_code == 302
    video = Video.objects.get()
    assert (video.text, video.status, video.created_by.username) == ("Hola", "waiting", "Editors")
    assert client.get(f"/admin/avatars/video/{video.pk}/change/").status_code == 200
    assert client.post(f"/admin/avatars/video/{video.pk}/change/", form()).status_code == 403


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (SimpleUploadedFile("hola.mp3", b"ID3\x04", "audio/mpeg"), "made from text only"),
        (SimpleUploadedFile("hola.txt", b"RIFF\xff\xfe\x00WAVE", "text/plain"), "not from sound"),
        (SimpleUploadedFile("hola.txt", b"a" * 70_000, "text/plain"), "too large"),
    ],
)
def test_a_sound_file_is_refused_with_the_reason(file: SimpleUploadedFile, reason: str) -> None:
    client = sign_in(roles.EDITOR)
    client.cookies["django_language"] = "en"
    page = client.post(ADD, form(text="", script=file))
    assert reason in page.content.decode()
    assert not Video.objects.exists()


def test_the_script_may_be_uploaded() -> None:
    script = SimpleUploadedFile("hola.txt", "Buenos días, señora.\n".encode(), "text/plain")
    assert sign_in(roles.EDITOR).post(ADD, form(text="", script=script)).status_code == 302
    assert Video.objects.get().text == "Buenos días, señora."


def test_an_impossible_video_is_refused() -> None:
    client = sign_in(roles.EDITOR)
    client.cookies["django_language"] = "en"
    other = AvatarFactory.create(account=ProviderAccountFactory.create(kind="liveavatar"))
    for wrong, reason in (
        (form(avatar=other), "does not make recorded videos"),
        (form(avatar=AvatarFactory.create(is_active=False)), "no longer offers"),
        (form(voice=VoiceFactory.create()), "account currently offers"),
        (form(text=" "), "Enter the avatar’s script"),
        (form(text="a" * 5001), "At most 5000"),
        (form() | {"voice": ""}, "no voice of its own"),
    ):
        assert reason in client.post(ADD, wrong).content.decode()
    assert not Video.objects.exists()


@pytest.mark.parametrize("role", [roles.OPERATOR, roles.AUDITOR], ids=lambda role: role.group)
def test_permission_to_view_does_not_allow_ordering(role: roles.Role) -> None:
    client, video = sign_in(role), VideoFactory.create(status="unknown", failure="lost", due_at=None)
    assert client.get("/admin/avatars/video/").status_code == 200
    assert client.get(ADD).status_code == 403
    page = client.post(f"/admin/avatars/video/{video.pk}/order_again/", {"_form_submitted": "on"})
    assert page.status_code == 403
    video.refresh_from_db()
    assert video.status == "unknown"


def test_an_unknown_video_can_be_ordered_again(admin_client: Client) -> None:
    video = VideoFactory.create(status="unknown", failure="lost", due_at=None)
    admin_client.cookies["django_language"] = "en"
    assert "If it is missing, order the video again" in admin_client.get(video.get_absolute_url()).content.decode()
    admin_client.post(f"/admin/avatars/video/{video.pk}/order_again/", {"_form_submitted": "on"})
    video.refresh_from_db()
    assert video.status == "waiting"


def test_the_page_fetches_and_plays_the_video() -> None:
    client = sign_in(roles.EDITOR)
    video = VideoFactory.create(status="ready", due_at=None, provider_video_id="v1", url="https://cdn.test/v1.mp4")
    page = client.get(video.get_absolute_url()).content.decode()
    assert "<video" not in page
    assert "cdn.test" not in page
    assert client.post(f"/videos/{video.pk}/fetch").status_code == 302
    page = client.get(video.get_absolute_url()).content.decode()
    assert 'http-equiv="refresh"' in page
    Video.objects.update(status="ready", due_at=None, file="videos/1.mp4")
    page = client.get(video.get_absolute_url()).content.decode()
    assert f'src="/videos/{video.pk}/file"' in page
    assert "<script>" not in page
    assert " style=" not in page
    assert video.text in page


def test_an_end_user_finds_no_video() -> None:
    client, video = sign_in(roles.END_USER), VideoFactory.create()
    assert client.get(video.get_absolute_url()).status_code == 404
    assert client.post(f"/videos/{video.pk}/fetch").status_code == 404


@sync_to_async
def stored() -> tuple[Video, User, User]:
    video = VideoFactory.create(status="ready", due_at=None, provider_video_id="v1")
    video.file.save(f"{video.pk}.mp4", ContentFile(FILM))
    return video, make_member(roles.AUDITOR), make_member(roles.END_USER)


@pytest.mark.django_db(transaction=True)
async def test_the_file_supports_ranges_and_needs_permission(tmp_path: Path) -> None:
    video, auditor, end_user = await stored()
    path, client = f"/videos/{video.pk}/file", AsyncClient()
    await client.aforce_login(end_user)
    assert (await client.get(path)).status_code == 404
    await client.aforce_login(auditor)
    for wanted, status, part in (
        ("", 200, FILM),
        ("bytes=0-", 200, FILM),
        ("bytes=4-7", 206, b"ftyp"),
        ("bytes=-3", 206, FILM[-3:]),
        ("bytes=200-999", 206, FILM[200:]),
        ("bytes=1-2,4-5", 200, FILM),
        ("bytes=999-", 416, b""),
    ):
        answer: Any = await client.get(path, headers={"range": wanted})
        body = b"".join([piece async for piece in answer.streaming_content]) if answer.streaming else answer.content
        assert (answer.status_code, body) == (status, part), wanted
    assert answer["Content-Range"] == f"bytes */{len(FILM)}"
