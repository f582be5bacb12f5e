"""What must keep working while the cache's Redis is down or does not answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client, override_settings
from django.utils import timezone

from avatars import tasks
from avatars.catalogue import voice_samples
from avatars.videos import orders
from heygen_portal.redis import cache as cache_module
from heygen_portal.runtime import budgets
from tests.support import servers
from tests.support.factories import VideoFactory, VoiceFactory

RIGHT, NEW = "right horse battery", "another horse battery"


@pytest.fixture(params=[signal.SIGSTOP, signal.SIGKILL], ids=["silent", "gone"])
def away(request: pytest.FixtureRequest, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (cache_module, budgets):
        monkeypatch.setattr(module, "REDIS_TIMEOUT_S", 0.5)
        monkeypatch.setattr(module, "REDIS_RETRY_S", 600.0)  # Redis is asked once, however slow the machine is
    with servers.redis_process() as redis:
        caches: Any = {"default": {**settings.CACHES["default"], "LOCATION": redis.url}}
        with override_settings(REDIS_URL=redis.url, CACHES=caches):
            cache.set("before", 1)
            cache_module._redis_retry_at.clear()  # a slow Redis may have set it already
            os.kill(redis.process.pid, request.param)
            yield
            if request.param == signal.SIGSTOP:
                os.kill(redis.process.pid, signal.SIGCONT)


@pytest.fixture
def signed_in(away: None) -> Client:
    client = Client(REMOTE_ADDR="198.51.100.7")
    client.force_login(
        User.objects.create_superuser("ines", "ines@example.org", RIGHT),
        backend="django.contrib.auth.backends.ModelBackend",
    )
    return client


def test_a_person_can_prove_who_they_are(signed_in: Client) -> None:
    assert signed_in.post("/accounts/reauthenticate/", {"password": "wrong"}).status_code == 200
    assert signed_in.post("/accounts/reauthenticate/", {"password": RIGHT}).status_code == 302


def test_guessing_is_limited_while_redis_is_down(signed_in: Client) -> None:
    statuses = [signed_in.post("/accounts/reauthenticate/", {"password": "wrong"}).status_code for _ in range(12)]
    assert statuses == [200] * 10 + [403, 302]  # then the login session has ended


def test_a_password_can_be_changed(signed_in: Client) -> None:
    changed = {"old_password": RIGHT, "new_password1": NEW, "new_password2": NEW}
    assert signed_in.post("/accounts/password/", changed).status_code == 302


def test_one_time_marks_hold_and_only_the_first_call_waits(away: None, caplog: pytest.LogCaptureFixture) -> None:
    assert [cache.add("code", 1, 30) for _ in range(20)] == [True] + [False] * 19
    assert (cache.get("code"), cache.get("before"), cache.touch("code", 30)) == (1, None, True)
    assert (cache.incr("code"), cache.has_key("code")) == (2, True)
    cache.set_many({"one": 1, "other": 2})
    assert cache.get_many(["one", "other"]) == {"one": 1, "other": 2}
    cache.delete_many(["one"])
    assert (cache.delete("code"), cache.get("code"), cache.get("one")) == (True, None, None)
    # Redis is tried once, not by each call.
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "Redis is not available, the cache uses this process's memory"
    ]


def test_a_key_added_while_redis_was_down_stays_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "REDIS_TIMEOUT_S", 0.5)
    with servers.redis_process() as redis:
        caches: Any = {"default": {**settings.CACHES["default"], "LOCATION": redis.url}}
        with override_settings(CACHES=caches):
            os.kill(redis.process.pid, signal.SIGSTOP)
            assert cache.add("mark", 1, 60)
            os.kill(redis.process.pid, signal.SIGCONT)
            cache_module._redis_retry_at.clear()
            cache.set("asked", 1)
            assert not cache.add("mark", 1, 60)
            cache.delete("mark")
            assert cache.add("mark", 1, 60)


def test_video_jobs_and_voice_samples_work_while_redis_is_down(away: None, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    async def look_after(now: Any) -> None:
        looks.append(now)

    monkeypatch.setattr(voice_samples, "_fetch", _sound)
    monkeypatch.setattr(orders, "process_due", look_after)
    sample = voice_samples.find(VoiceFactory.create())
    assert sample
    assert sample.content_type == "audio/mpeg"
    VideoFactory.create(due_at=timezone.now())
    for number in range(1, 3):  # the lock is released
        tasks.process_videos()
        assert len(looks) == number


async def _sound(voice: Any) -> bytes:
    return b"ID3" + bytes(100_000)
