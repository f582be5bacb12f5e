"""A web process to attack, with a signed-in administrator and a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support import servers

VIDEO_BYTES = 300 * 1024 * 1024
MAKE_STAFF_AND_VIDEO = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from tests.support.factories import VideoFactory

person = User.objects.create_superuser("root", password="-")
login = import_module(settings.SESSION_ENGINE).SessionStore()
login[SESSION_KEY] = str(person.pk)
login[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
login[HASH_SESSION_KEY] = person.get_session_auth_hash()
login.save()
video = VideoFactory.create(status="ready", due_at=None, provider_video_id="v1", file="videos/long.mp4")
print(login.session_key, video.pk)
"""


@pytest.fixture(scope="package")
def web(redis_url: str) -> Iterator[servers.Web]:
    """Yield a web process with a short timeout for slow clients."""
    with servers.web(redis_url, env={"CLIENT_TIMEOUT": "1"}) as web:
        yield web


@dataclass(frozen=True)
class Staff:
    cookie: str
    video: str


@pytest.fixture(scope="package")
def staff(web: servers.Web) -> Staff:
    """Return a signed-in administrator of that process and the path of a long video."""
    session, video = web.console.run("shell", "-v0", "-c", MAKE_STAFF_AND_VIDEO).split()
    file = web.folder / "media" / "videos" / "long.mp4"
    file.parent.mkdir(parents=True)
    with file.open("wb") as body:
        body.truncate(VIDEO_BYTES)
    return Staff(f"sessionid={session}", f"/videos/{video}/file")
