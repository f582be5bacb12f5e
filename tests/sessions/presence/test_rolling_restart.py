"""Web processes that restart one after the other behind the proxy while users talk."""

from __future__ import annotations

import random

import pytest

from bench import _two_machines, rolling_restart
from bench._simulated_users import Person
from tests.support import servers

pytestmark = pytest.mark.proof

SIGN_IN = "from bench import _results; print(*_results.create_signed_in_users(5, 100))"
COUNT = "from sessions.models import SessionTask; print(SessionTask.objects.exclude(ref='').count())"


async def test_a_rolling_restart_ends_no_conversation_and_loses_no_text() -> None:
    with (
        servers.emulator(media=False) as emulator,
        _two_machines.site(emulator, None, {"BUDGET_FACTOR": "1000"}) as site,
    ):
        cookies = site.console.run("shell", "-v0", "-c", SIGN_IN).split()
        chance = random.Random(1)
        people = [Person(site.url, cookie, chance, ending="stay", talks_for_s=86400) for cookie in cookies]
        await rolling_restart.talk_and_restart(site, people, pace=4, processes=("web",))
        stored = int(site.console.run("shell", "-v0", "-c", COUNT))
    assert [(person.was_live, person.is_over, person.end_reason) for person in people] == [(True, False, "")] * 5
    assert sum(person.reconnects for person in people) >= 5
    assert {outcome for person in people for outcome in person.answers.values()} == {"sent"}
    assert not any(person.awaits_answers for person in people)
    assert stored == sum(person.texts for person in people)
