"""Every documented call of LiveAvatar.

The emulator answers and, with --live, the real service.
"""

from __future__ import annotations

import os

import httpx
import pytest

from heygen_portal.emulator.liveavatar.states import END_REASONS, LIVEAVATAR_ERRORS
from tests.emulator.liveavatar_wire import LiveAvatarWire
from tests.emulator.providers_doc import Case, live_cases, look, table


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "real_case" in metafunc.fixturenames:
        live = metafunc.config.getoption("--live")
        metafunc.parametrize(
            "real_case", [case for case in live_cases() if case.asked_of == "both"] if live else [], ids=str
        )


@pytest.mark.parametrize("case", live_cases(), ids=str)
def test_the_emulator_answers_as_documented(case: Case, live: LiveAvatarWire) -> None:
    check(case, live.ask_case(case, live.session_as(case.state)))


def test_the_real_service_answers_as_documented(real_case: Case) -> None:
    with LiveAvatarWire("https://api.liveavatar.com", os.environ["LIVEAVATAR_API_KEY"], is_sandbox=True) as live:
        session_id = live.session_as(real_case.state)
        try:
            check(real_case, live.ask_case(real_case, session_id))
        finally:
            if session_id:
                live.stop(session_id)


def check(case: Case, answer: httpx.Response) -> None:
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json()
    assert answer.status_code == case.status, body
    if case.status >= 400:
        words = {
            "envelope": lambda: body["message"],
            "data": lambda: body["data"][0]["message"],
            "detail": lambda: body["detail"][0]["msg"],
        }[case.shape]()
        assert words
        return
    assert body["code"] in (100, 1000)
    for path in case.fields:
        look(body, path)


def test_the_documented_refusals_match_the_code() -> None:
    quoted = {row["error"]: (int(row["HTTP"]), row["message"], row["shape"]) for row in table("error")}
    assert quoted == {key: (error.status, error.message, error.shape) for key, error in LIVEAVATAR_ERRORS.items()}


def test_the_documented_end_reasons_match_the_code() -> None:
    assert {row["ended by"]: row["end_reason"] for row in table("ended by")} == END_REASONS
