"""Attacks on an unsafe configuration: Redis, keys, host names."""

from __future__ import annotations

import os
import pickle
import secrets
import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from django.core.cache import cache
from django.core.checks import Tags, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from kombu.exceptions import ContentDisallowed
from kombu.message import Message
from redis import Redis

from heygen_portal import production
from heygen_portal.celery import app
from local.paths import ROOT
from tests.timeouts import WAIT_TIMEOUT_S


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
def test_cached_values_are_returned_unchanged(value: Any) -> None:
    cache.set("kept", value)
    found = cache.get("kept", "nothing")
    assert (found, type(found)) == (value, type(value))


def test_counters_in_the_cache_still_count() -> None:
    cache.set("count", 1)
    assert cache.incr("count") == 2


def test_a_value_that_is_not_json_is_refused_when_stored() -> None:
    with pytest.raises(TypeError):
        cache.set("kept", object())


STRONG = {"SECRET_KEY": secrets.token_urlsafe(48), "FIELD_ENCRYPTION_KEY": secrets.token_urlsafe(48)}
SAFE = {
    **STRONG,
    "DEBUG": False,
    "SECRET_KEY_FALLBACKS": [],
    "FIELD_ENCRYPTION_KEY_FALLBACKS": [],
    "ALLOWED_HOSTS": ["portal.example.org"],
    "HTTPS": True,
    "PROXY_COUNT": 1,
    "HISTORY_ANCHOR_FILE": f"{gettempdir()}/anchors/portal",
    "REDIS_URL": "redis://:password@redis:6379/0",
    "LIVEKIT_API_SECRET": secrets.token_urlsafe(36),
    "LIVEKIT_PUBLIC_URL": "wss://livekit.example.org",
    "HEALTH_TOKEN": secrets.token_urlsafe(36),
    "EMAIL_HOST": "mail.example.org",
    "EMAIL_HOST_PASSWORD": "password",
    "CSRF_TRUSTED_ORIGINS": ["https://portal.example.org", "https://*.example.org"],
}


def complaints(**changed: Any) -> list[str]:
    """Return the findings of `check --deploy` for the portal's settings."""
    with override_settings(**{**SAFE, **changed}):
        found = run_checks(tags=[Tags.security], include_deployment_checks=True)
    return [str(message.id).partition(".")[2] for message in found if str(message.id).startswith("heygen_portal.")]


def test_a_safe_configuration_has_no_findings() -> None:
    assert complaints() == []


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"FIELD_ENCRYPTION_KEY": "x"}, "E030"),
        ({"FIELD_ENCRYPTION_KEY": "not-secret-either"}, "E002"),
        ({"SECRET_KEY": "not-secret-for-looking-around-only"}, "E001"),
        ({"SECRET_KEY": "a" * 80}, "E030"),
        ({"SECRET_KEY": "changeme" * 9}, "E030"),
        ({"SECRET_KEY": "1234567890" * 6}, "E030"),
        ({"FIELD_ENCRYPTION_KEY": "abcdefghijklm" * 5}, "E030"),
        ({"SECRET_KEY": f"django-insecure-{secrets.token_urlsafe(48)}"}, "E030"),
        ({"FIELD_ENCRYPTION_KEY_FALLBACKS": ["not-secret-either"]}, "E006"),
        ({"SECRET_KEY_FALLBACKS": [secrets.token_urlsafe(48), "old"]}, "W030"),
        ({"LIVEKIT_API_SECRET": "secret"}, "E030"),
        ({"SECRET_KEY": STRONG["FIELD_ENCRYPTION_KEY"]}, "E032"),
        ({"ALLOWED_HOSTS": ["*"]}, "E031"),
        ({"ALLOWED_HOSTS": ["portal.example.org", ".org"]}, "E031"),
        ({"ALLOWED_HOSTS": ["portal.example.org", "*"]}, "E031"),
        ({"HTTPS": False}, "E036"),
        ({"PROXY_COUNT": 0}, "E037"),
        ({"LIVEKIT_PUBLIC_URL": "ws://livekit.example.org"}, "E038"),
        ({"EMAIL_USE_TLS": False}, "E039"),
        ({"HEALTH_TOKEN": "short"}, "E040"),
        ({"HEALTH_TOKEN": "0123456789" * 4}, "E040"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://portal.example.org", "https://*.org"]}, "E041"),
        ({"CSRF_TRUSTED_ORIGINS": ["http://portal.example.org"]}, "E041"),
        ({"CONTENT_SECURITY_POLICY": {"DIRECTIVES": {"connect-src": ["'self'", "*"]}}}, "E042"),
        ({"CONTENT_SECURITY_POLICY": {"DIRECTIVES": {"connect-src": ["'self'", "wss:"]}}}, "E042"),
        ({"HISTORY_ANCHOR_FILE": ""}, "E043"),
        ({"HISTORY_ANCHOR_FILE": gettempdir()}, "E033"),
        ({"HISTORY_ANCHOR_FILE": f"{__file__}/anchors"}, "E033"),
        ({"HISTORY_ANCHOR_FILE": "/proc/anchors/portal"}, "E033"),
        ({"REDIS_URL": "redis://redis:6379/0"}, "E034"),
        ({"REDIS_URL": "rediss://portal@redis.example.org/0"}, "E034"),
        ({"REDIS_URL": "redis://:@10.0.0.5:6379/0"}, "E034"),
        ({"DEBUG": True}, "E044"),
    ],
)
def test_an_unsafe_setting_is_reported(changed: dict[str, Any], complaint: str) -> None:
    assert complaints(**changed) == [complaint]


@pytest.mark.parametrize(
    "changed",
    [
        {"ALLOWED_HOSTS": [".example.org"]},
        {"REDIS_URL": "redis://127.0.0.1:6379/0"},
        {"REDIS_URL": "unix:///run/redis.sock"},
        {"HTTPS": False, "PROXY_COUNT": 0, "ALLOWED_HOSTS": ["localhost"]},
        {"LIVEKIT_PUBLIC_URL": "ws://127.0.0.1:7880"},
        {"EMAIL_USE_TLS": False, "EMAIL_HOST": "localhost"},
    ],
)
def test_safe_settings_are_not_reported(changed: dict[str, Any]) -> None:
    assert complaints(**changed) == []


DEFAULTS = {"SECRET_KEY": "not-secret-for-looking-around-only", "FIELD_ENCRYPTION_KEY": "not-secret-either"}
LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]


@pytest.mark.parametrize(
    "hosts", [["*"], ["portal.example.org"], [*LOOPBACK, "10.0.0.5"], [*LOOPBACK, ".local"], ["[2001:db8::1]"]]
)
@pytest.mark.parametrize("left", [["SECRET_KEY"], ["FIELD_ENCRYPTION_KEY"], ["SECRET_KEY", "FIELD_ENCRYPTION_KEY"]])
def test_production_refuses_keys_from_the_repository(hosts: list[str], left: list[str]) -> None:
    keys = {**STRONG, **{name: DEFAULTS[name] for name in left}}
    with override_settings(DEBUG=False, ALLOWED_HOSTS=hosts, **keys), pytest.raises(ImproperlyConfigured) as refusal:
        production.refuse_unsafe_settings()
    assert all(name in str(refusal.value) for name in left)


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("SECRET_KEY_FALLBACKS", "DJANGO_SECRET_KEY_FALLBACKS"),
        ("FIELD_ENCRYPTION_KEY_FALLBACKS", "FIELD_ENCRYPTION_KEY_FALLBACKS"),
    ],
)
@pytest.mark.parametrize("default", DEFAULTS.values())
def test_production_refuses_retired_keys_from_the_repository(setting: str, name: str, default: str) -> None:
    settings = {**STRONG, "ALLOWED_HOSTS": ["portal.example.org"], setting: ["y" * 60, default]}
    with override_settings(DEBUG=False, **settings), pytest.raises(ImproperlyConfigured, match=name):
        production.refuse_unsafe_settings()


@pytest.mark.parametrize(
    "settings",
    [{"ALLOWED_HOSTS": LOOPBACK}, {"ALLOWED_HOSTS": ["*"], "DEBUG": True}],
)
def test_a_fresh_checkout_runs_without_settings(settings: dict[str, Any]) -> None:
    with override_settings(**{"DEBUG": False, **DEFAULTS, **settings}):
        production.refuse_unsafe_settings()


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        ({}, []),
        ({"SECRET_KEY": "changeme" * 9}, ["DJANGO_SECRET_KEY: can be guessed"]),
        ({"FIELD_ENCRYPTION_KEY": "x"}, ["FIELD_ENCRYPTION_KEY: can be guessed"]),
        ({"LIVEKIT_API_SECRET": "secret"}, ["LIVEKIT_API_SECRET: can be guessed"]),
        ({"SECRET_KEY_FALLBACKS": ["old"]}, []),
        ({"ALLOWED_HOSTS": ["*"]}, ["ALLOWED_HOSTS: * accepts"]),
        ({"ALLOWED_HOSTS": ["portal.example.org", ".org"]}, ["ALLOWED_HOSTS: .org accepts"]),
        ({"REDIS_URL": "redis://redis:6379/0"}, ["REDIS_URL: Redis is on another machine"]),
        ({"ALLOWED_HOSTS": ["*"], "REDIS_URL": "redis://redis:6379/0"}, ["ALLOWED_HOSTS: *", "REDIS_URL: Redis"]),
    ],
)
def test_production_refuses_each_critical_setting_by_name(changed: dict[str, Any], problems: list[str]) -> None:
    with override_settings(**{**SAFE, **changed}):
        found = production.critical_problems()
        assert len(found) == len(problems)
        assert all(problem in line for problem, line in zip(problems, found, strict=True))
        with pytest.raises(ImproperlyConfigured) if problems else nullcontext():
            production.refuse_unsafe_settings()


SECRETS = (
    "DATABASE_URL",
    "REDIS_URL",
    "DJANGO_SECRET_KEY",
    "DJANGO_SECRET_KEY_FALLBACKS",
    "FIELD_ENCRYPTION_KEY",
    "FIELD_ENCRYPTION_KEY_FALLBACKS",
    "HEALTH_TOKEN",
    "LIVEKIT_API_KEY",
    "LIVEKIT_API_SECRET",
    "EMULATOR_API_KEY",
    "OIDC_CLIENT_ID",
    "OIDC_CLIENT_SECRET",
    "EMAIL_HOST_USER",
    "EMAIL_HOST_PASSWORD",
)
PRINT_SETTINGS = """
from heygen_portal import settings
def texts(value):
    if type(value) is str:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)
print(*texts(vars(settings)), sep="\\n")
"""


def test_every_secret_comes_from_a_file(tmp_path: Path) -> None:
    files = {}
    for name in SECRETS:
        content = "postgres://hidden@database_url/portal" if name == "DATABASE_URL" else f"hidden_{name.lower()}"
        (tmp_path / name).write_text(f"{content}\n")
        files[f"{name}_FILE"] = str(tmp_path / name)
    ran = subprocess.run(
        [sys.executable, "-c", PRINT_SETTINGS],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "VAR_DIR": str(tmp_path),
            "OIDC_ISSUER": "https://login.example.org",
            **files,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=5 * WAIT_TIMEOUT_S,
        check=True,
    )
    expected = {"database_url", *(f"hidden_{name.lower()}" for name in SECRETS[1:])}
    assert expected - set(ran.stdout.splitlines()) == set()


def test_check_deploy_fails_on_an_unsafe_setting_and_only_then(tmp_path: Path) -> None:
    safe = {
        "PATH": os.environ["PATH"],
        "VAR_DIR": str(tmp_path),
        "ALLOWED_HOSTS": "portal.example.org",
        "HTTPS": "1",
        "PROXY_COUNT": "1",
        "HISTORY_ANCHOR_FILE": str(tmp_path / "anchors"),
        "DJANGO_SECRET_KEY": STRONG["SECRET_KEY"],
        "FIELD_ENCRYPTION_KEY": STRONG["FIELD_ENCRYPTION_KEY"],
    }
    command = [sys.executable, "manage.py", "check", "--deploy"]
    for changed, code in (({}, 0), ({"HTTPS": "0"}, 1)):
        ran = subprocess.run(
            command,
            env={**safe, **changed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=5 * WAIT_TIMEOUT_S,
            check=False,
        )
        assert (ran.returncode, "WARNINGS" in ran.stderr) == (code, False), ran.stderr


def test_the_web_process_refuses_to_start_with_keys_from_the_repository(tmp_path: Path) -> None:
    careless = {"ALLOWED_HOSTS": "portal.example.org", "VAR_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "heygen_portal.server", "-b", "127.0.0.1", "-p", "0"]
    ended = subprocess.run(
        command, env=careless, capture_output=True, text=True, timeout=5 * WAIT_TIMEOUT_S, check=False
    )
    assert ended.returncode != 0
    assert "DJANGO_SECRET_KEY and FIELD_ENCRYPTION_KEY: ALLOWED_HOSTS allows other machines" in ended.stderr


SERVING = {
    "worker": ["celery", "-A", "heygen_portal", "worker", "--pool", "solo"],
    "worker with a clock": ["celery", "-A", "heygen_portal", "worker", "-B"],
    "beat": ["celery", "-A", "heygen_portal", "beat", "--schedule", "schedule", "--pidfile="],
    "monitor": ["django", "monitor_chat"],
}


@pytest.mark.parametrize(
    "command",
    # Each start takes some seconds. The others differ in the name of the program only.
    [pytest.param(SERVING[name], id=name, marks=[] if name == "worker" else pytest.mark.proof) for name in SERVING],
)
def test_worker_and_beat_refuse_to_start_with_keys_from_the_repository(tmp_path: Path, command: list[str]) -> None:
    ended = careless_process(tmp_path, command)
    assert ended.returncode != 0
    assert "DJANGO_SECRET_KEY and FIELD_ENCRYPTION_KEY: ALLOWED_HOSTS allows other machines" in ended.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        *(pytest.param(each, marks=pytest.mark.proof) for each in (["migrate", "--check"], ["rotate_keys", "--help"])),
    ],
)
def test_commands_that_fix_the_keys_still_run(tmp_path: Path, command: list[str]) -> None:
    assert "ALLOWED_HOSTS allows other machines" not in careless_process(tmp_path, ["django", *command]).stderr


def careless_process(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    careless = {
        "ALLOWED_HOSTS": "portal.example.org",
        "VAR_DIR": str(folder),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DJANGO_SETTINGS_MODULE": "heygen_portal.settings",
    }
    started = [sys.executable, "-m", *command]
    return subprocess.run(
        started, env=careless, cwd=folder, capture_output=True, text=True, timeout=5 * WAIT_TIMEOUT_S, check=False
    )
