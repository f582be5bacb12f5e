from __future__ import annotations

from tests.emulator.fuzz import Fuzz
from tests.support import servers

INPUTS = 2000  # `bin/bench fuzz` sends a hundred thousand


async def test_no_input_breaks_the_emulator() -> None:
    with servers.emulator(
        media=False, args=["--control", "--rule", "live_rate=1000000", "--concurrency", "50"]
    ) as emulator:
        report = await Fuzz(emulator.url, emulator.api_key, seed=1).run(INPUTS)
        assert report.wrong == []
        assert {200, 400, 401, 404, 405} <= report.statuses.keys()
        assert "Traceback" not in emulator.process.output()
