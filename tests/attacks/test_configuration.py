"""Attacks on a portal that is set up carelessly: its Redis, its keys, its host names."""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from kombu.exceptions import ContentDisallowed
from kombu.message import Message
from redis import Redis

from heygen_portal.celery import app


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("before", [b"", b"j"])
def test_a_pickle_in_redis_runs_no_code(redis_url: str, tmp_path: Path, protocol: int, before: bytes) -> None:
    ran = tmp_path / "ran"
    pickled = pickle.dumps(Touch(ran), protocol)
    with Redis.from_url(redis_url) as redis:
        redis.set(cache.make_key("victim"), before + pickled)
    with suppress(ValueError):
        cache.get("victim")
    assert not ran.exists()
    pickle.loads(pickled)  # noqa: S301 - it would have
    assert ran.exists()


@pytest.mark.parametrize("content_type", ["application/x-python-serialize", "pickle", "application/x-yaml"])
def test_workers_refuse_jobs_that_are_not_json(tmp_path: Path, content_type: str) -> None:
    ran = tmp_path / "ran"
    body: Any = pickle.dumps(Touch(ran))
    job = Message(body, content_type=content_type, content_encoding="binary", accept=app.conf.accept_content)
    with pytest.raises(ContentDisallowed):
        job.decode()
    assert not ran.exists()


@pytest.mark.parametrize(
    "value",
    [0, -3, True, None, 1.5, "ñ", b"", b"\x80\x05.", b"j", [1, {"a": None}], {"days": [1.25, "\ud800"]}],
)
def test_cached_values_come_back_as_they_were(value: Any) -> None:
    cache.set("kept", value)
    found = cache.get("kept", "nothing")
    assert (found, type(found)) == (value, type(value))


def test_counters_in_the_cache_still_count() -> None:
    cache.set("count", 1)
    assert cache.incr("count") == 2


def test_what_cannot_be_json_is_refused_when_it_is_stored() -> None:
    with pytest.raises(TypeError):
        cache.set("kept", object())
