"""Log lines as JSON: with request, session and trace, without speech and secrets."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import httpx
import pytest

from heygen_portal.runtime import logs
from heygen_portal.runtime.jobs import job_loop
from tests.sessions.health.conftest import SPOKEN, Observed
from tests.timeouts import WAIT_TIMEOUT_S


def lines(observed: Observed) -> list[dict[str, Any]]:
    """Return the lines of all processes, except what programs print before Django is set up."""
    output = "".join(child.output() for child in (observed.portal.web, observed.portal.worker, observed.portal.beat))
    return [json.loads(line) for line in output.splitlines() if line.startswith("{") and line.endswith("}")]


def test_no_log_line_has_speech_or_a_key(observed: Observed) -> None:
    """Even at the level DEBUG."""
    written = "".join(child.output() for child in (observed.portal.web, observed.portal.worker, observed.portal.beat))
    answers = [message["text"] for message in observed.conversation.received if message.get("text")]
    assert SPOKEN in answers
    for speech in (*answers, "xylophone", "Zacatecas"):
        assert speech not in written
    for name in ("FIELD_ENCRYPTION_KEY", "DJANGO_SECRET_KEY", "EMULATOR_API_KEY"):
        assert observed.portal.environment[name] not in written


def test_the_lines_of_a_conversation_name_its_session_and_trace(observed: Observed) -> None:
    of_session = [line for line in lines(observed) if line.get("session") == observed.conversation.session_id]
    assert of_session
    assert all(line["request"] for line in of_session)
    assert any(len(line.get("trace", "")) == 32 for line in of_session)


def test_every_line_after_the_start_is_json(observed: Observed) -> None:
    httpx.get(f"{observed.portal.url}/accounts/login/?q=searched-words", trust_env=False, timeout=WAIT_TIMEOUT_S)

    def is_logged() -> bool:
        access = [line for line in lines(observed) if line["logger"] == "portal.access"]
        return any(line["path"] == "/accounts/login/" and line["status"] == 200 for line in access)

    observed.portal.web.wait_until(is_logged, seconds=WAIT_TIMEOUT_S)  # a client has its answer a little earlier
    output = observed.portal.web.output()
    assert "searched-words" not in output
    after_start = output[output.index('"Listening') :].splitlines()[1:]
    assert [line for line in after_start if not line.startswith("{")] == []


def test_a_path_is_logged_without_secrets() -> None:
    uuid = "2f1f5a3e-7c54-4d0b-9e0a-0b1c2d3e4f50"
    assert logs.public_path(f"/conversations/{uuid}/?q=said") == f"/conversations/{uuid}/"
    assert logs.public_path("/accounts/join/12:1tXyz:abcdefghijklmnopqrstuvwxyz/") == "/accounts/join/…/"
    assert logs.public_path("/accounts/password/reset/key/1-c9k2mz-0123456789abcdef0123456789abcdef/").endswith("/…/")


def record() -> logging.LogRecord:
    return logging.LogRecord("name", logging.INFO, __file__, 1, "%s went on", ("it",), None)


def test_what_is_bound_reaches_a_job_and_ends_with_the_block() -> None:
    formatter = logs.JSONFormatter()

    async def job() -> dict[str, Any]:
        return dict(json.loads(formatter.format(record())))

    with logs.bound(request="r1", session="s1"):
        line = job_loop.run(job(), timedelta(seconds=WAIT_TIMEOUT_S))
    job_loop.close()
    assert (line["request"], line["session"], line["message"]) == ("r1", "s1", "it went on")
    assert "session" not in json.loads(formatter.format(record()))


def test_an_exception_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("x").exception("failed")
    text = logs.JSONFormatter().format(caplog.records[0])
    assert "\n" not in text
    assert "ValueError: no" in json.loads(text)["exception"]
