"""Machines whose clocks differ judge deadlines by the database's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from unittest.mock import patch
from uuid import uuid4

import pytest
import time_machine
from django.utils import timezone

from heygen_portal.postgresql import clock
from sessions.models import ServerProcess
from sessions.presence import tabs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("postgres")]

SKEW = timedelta(seconds=40)


@contextmanager
def machine(ahead: timedelta, slowest: timedelta = timedelta(minutes=1)) -> Iterator[None]:
    """Be a process on a machine with this clock. `slowest` is the slowest answer that is believed."""
    with (
        patch.object(clock, "_difference", clock._Difference()),
        patch.object(clock, "MAX_MEASURING", slowest),
        time_machine.travel(timezone.now() + ahead, tick=True),
    ):
        clock.follow()
        clock.measure()
        yield


@pytest.mark.parametrize("ahead", [SKEW, -SKEW])
def test_a_process_follows_the_clock_of_the_database(ahead: timedelta) -> None:
    before = timezone.now()
    with machine(ahead):
        assert abs(timezone.now() - before - ahead) < SKEW / 2
        assert abs(clock.now() - before) < SKEW / 2


@pytest.mark.parametrize("ahead", [SKEW, -SKEW])
def test_the_lease_of_a_living_process_does_not_expire_elsewhere(ahead: timedelta) -> None:
    process = uuid4()
    with machine(ahead):
        tabs.renew_lease(process)
    with machine(-ahead):
        tabs.expire_leases(clock.now())
        assert ServerProcess.objects.filter(pk=process).exists()
        tabs.expire_leases(clock.now() + tabs.LEASE_DURATION + SKEW / 4)
        assert not ServerProcess.objects.exists()


def test_small_differences_are_left_alone() -> None:
    with machine(timedelta(milliseconds=1), slowest=clock.MAX_MEASURING):
        assert clock._difference.value == timedelta(0)
