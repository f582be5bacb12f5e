from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from heygen_portal.runtime import background


async def test_a_task_that_was_put_off_and_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def fail() -> None:
        begun.set()
        raise ValueError("the database is away")

    background.call_later(timedelta(0), fail)
    await begun.wait()
    await background.finish()
    assert [record.getMessage() for record in caplog.records] == ["a task that was put off failed"]
