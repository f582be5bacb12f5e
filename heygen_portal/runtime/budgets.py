"""Rate limits per person, address or session.

Counted in Redis with the `limits` library, so that all web processes share one count. While Redis is down or does
not answer, each process counts for itself, in bounded memory.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from limits import RateLimitItem, parse_many
from limits.storage import RedisStorage
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from heygen_portal.runtime import client_address, metrics

logger = logging.getLogger(__name__)

BUDGETS: Mapping[str, Mapping[str, str]] = {
    # Per address the limits are high: a company, a school or a load balancer may share one.
    # A page in the queue asks again when its socket reconnects.
    "start": {"person": "30/minute; 300/hour", "address": "1200/minute"},
    # A page on an unstable network reconnects and rejoins its session.
    "connect": {"person": "120/minute", "address": "6000/minute"},
    "join": {"person": "120/minute", "address": "6000/minute"},
    # Interrupt and keep-alive: each calls the provider.
    "act": {"session": "60/minute", "person": "90/minute", "address": "3000/minute"},
    "prepare": {"person": "60/minute", "address": "1200/minute"},
    # A person asked for, or a message left: each mails staff.
    "message": {"session": "6/hour", "person": "10/hour; 20/day", "address": "200/hour"},
    "task": {"session": "120/minute", "person": "240/minute", "address": "12000/minute"},
    # One unit per started kilobyte. A lively conversation reports about 100 events a minute.
    "report": {"session": "900/minute", "person": "1200/minute", "address": "60000/minute"},
    # first_frame and rated: never starved by other reports.
    "urgent_report": {"session": "60/minute", "person": "120/minute"},
    # Socket messages that are answered with an error.
    "refused_message": {"person": "1200/minute", "address": "60000/minute"},
    # Requests of guests' pages to be let in: one when the page opens, and one for each socket after it.
    "guest_visit": {"address": "120/minute; 3000/hour"},
    # Refused guests that get an entry in the permanent audit log.
    "guest_refusal": {"embed": "60/hour", "address": "10/hour"},
    "provider_lookup": {"session": "12/minute", "person": "24/minute", "account": "60/minute"},
    "check_room": {"person": "10/minute; 60/hour", "address": "300/minute"},
    "search": {"person": "30/minute", "address": "300/minute"},
    # Sent while staff type, a few for each word.
    "suggest": {"person": "120/minute", "address": "1200/minute"},
    # Every POST to the admin, and stops from the live board: most append to the permanent record.
    "staff_action": {"person": "60/minute; 1000/hour", "address": "600/minute"},
    # Each leaves a permanent event in another person's record.
    "observe": {"person": "10/minute; 120/hour", "address": "120/minute"},
    "open_transcript": {"person": "20/minute; 300/hour", "address": "200/minute"},
    # Each decrypts up to 25 lines, and all lines of a conversation.
    "conversation": {"person": "120/minute", "address": "600/minute"},
    "transcript": {"person": "20/minute", "address": "200/minute"},
    "export": {"person": "30/minute; 300/hour", "address": "120/minute"},
    # Messages that staff send to webhooks by hand.
    "webhook_send": {"person": "100/10 minutes; 500/hour", "address": "600/hour"},
    # Password attempts: people/sign_in/throttle.py decides which of these counts.
    "sign_in": {"address": "60/minute; 600/hour"},
    "sign_in_device": {"device": "10/15 minutes"},
    "sign_in_place": {"place": "10/15 minutes"},
    "sign_in_elsewhere": {"login": "100/hour"},
    # Second-factor attempts, counted in the same way.
    "second_factor": {"address": "60/minute; 600/hour"},
    "second_factor_device": {"device": "10/15 minutes"},
    "second_factor_place": {"place": "10/15 minutes"},
    "second_factor_elsewhere": {"login": "50/hour"},
    # Consecutive wrong passwords and codes of a signed-in person; then the login session ends.
    "wrong_proof": {"login_session": "10/day"},
    # Each asks the directory and stores a login session.
    "single_sign_on": {"person": "30/minute", "address": "300/minute"},
    # Submitted forms of password reset links.
    "password_link": {"address": "60/minute"},
    "password_mail": {"address": "30/hour", "recipient": "5/hour"},
    "invite": {"person": "60/minute; 300/hour", "address": "120/minute; 600/hour", "recipient": "5/hour"},
    "accept_invitation": {"address": "60/minute"},
    # Requests to the REST API. Each key has its own rate; this one is only the default.
    "api": {"key": "120/minute", "address": "12000/minute"},
    # Requests without a valid key.
    "api_refused": {"address": "120/minute; 2000/hour"},
    # Spoken turns. All sessions of a provider come from a few addresses.
    "brain": {"session": "60/minute"},
    # Requests to the brain without a token of a running session.
    "brain_refused": {"address": "120/minute; 2000/hour"},
}
"""Rates by budget and scope. The setting `BUDGETS` overrides entries."""

PREPAID_UNITS = {"report": 25, "task": 5, "refused_message": 25}
"""Units taken from Redis in advance, to save a round trip for frequent messages."""
REDIS_TIMEOUT_S = 0.25
REDIS_RETRY_S = 5.0
"""Seconds after a failure during which the process counts for itself."""
MAX_LOCAL_KEYS = 10_000
KEY_PREFIX = "portal-budget"


class TooManyRequests(Exception):
    """The budget is used up. Try again after `wait_seconds`, at least 1."""

    hint: str | Promise = ""
    """What else the person can do, for the error page."""

    def __init__(self, budget: str, wait_seconds: float) -> None:
        super().__init__(budget)
        self.budget = budget
        metrics.budget_refusals.labels(budget if budget in BUDGETS else "other").inc()
        self.wait_seconds = max(1, ceil(wait_seconds))


async def spend(name: str, *, cost: int = 1, **who: object) -> None:
    """Take `cost` from a budget in each scope of `who`. Raises TooManyRequests.

    `who` maps scopes of BUDGETS (person, address, session, account, recipient) to values; None is not counted.
    """
    if not _take_prepaid(name, cost, who):
        # The synchronous client in a thread, because an asyncio client is bound to one event loop.
        await asyncio.get_running_loop().run_in_executor(_threads, lambda: _spend_all(name, cost, who))


async def take_in_advance(name: str, **who: object) -> None:
    """Take a batch of a frequent budget before its first message, which then waits for no round trip.

    Take nothing where units are left, or where the budget is used up: the message itself is refused then.
    """
    await asyncio.get_running_loop().run_in_executor(_threads, lambda: _fill_up(name, who))


@dataclass(frozen=True)
class Allowance:
    """What is left of a budget after a request: so many units until the window has passed."""

    limit: int
    left: int
    window_seconds: int
    reset_seconds: int


async def spend_at_rate(name: str, rate: str, **who: object) -> Allowance:
    """Take one unit from a budget whose rate is set for each caller, and return what is left.

    `who` is a single scope and its value. Raises TooManyRequests.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, lambda: _spend_at_rate(name, rate, who))


def _spend_at_rate(name: str, rate_text: str, who: Mapping[str, object]) -> Allowance:
    ((scope, value),) = _scoped_values(name, who)
    (rate,) = _parse(rate_text, settings.BUDGET_FACTOR)
    key = rate.key_for(name, scope, value)
    _spend_one(name, rate, key, 1)
    left, reset_seconds = rate.amount - 1, float(rate.get_expiry())
    if storage := _storage():
        try:
            before, before_ends, current, current_ends = storage.get_sliding_window(key, rate.get_expiry())
        except RedisError:
            _pause_redis()
        else:
            left = rate.amount - current - int(before * before_ends / rate.get_expiry())
            reset_seconds = current_ends - rate.get_expiry() if current_ends > rate.get_expiry() else current_ends
    return Allowance(rate.amount, max(0, left), rate.get_expiry(), max(1, ceil(reset_seconds)))


def spend_sync(name: str, *, cost: int = 1, **who: object) -> None:
    """Take `cost` from a budget outside an event loop. See `spend`."""
    if not _take_prepaid(name, cost, who):
        _spend_all(name, cost, who)


def clear(name: str, **who: object) -> None:
    """Reset one budget in these scopes."""
    for scope, value in _scoped_values(name, who):
        for rate in rates_of(name, scope):
            key = rate.key_for(name, scope, value)
            _local.forget(key)
            _prepaid.forget(key)
            if storage := _storage():
                try:
                    storage.clear_sliding_window(key, rate.get_expiry())
                except RedisError:
                    _pause_redis()


def clear_all() -> None:
    """Reset all budgets."""
    _local.clear()
    _prepaid.clear()
    _redis_retry_at.clear()
    if storage := _storage():
        try:
            storage.reset()
        except RedisError:
            _pause_redis()


def rates_of(name: str, scope: str) -> list[RateLimitItem]:
    """Return the rates of a budget with overrides applied.

    Raises ValueError if a rate cannot be parsed.
    """
    text = settings.BUDGETS.get(f"{name}.{scope}", BUDGETS[name][scope])
    return _parse(text, settings.BUDGET_FACTOR)


@lru_cache(maxsize=256)
def _parse(text: str, factor: float) -> list[RateLimitItem]:
    return [type(rate)(max(1, round(rate.amount * factor)), rate.multiples) for rate in parse_many(text)]


def invalid_names() -> list[str]:
    """Return unknown names in BUDGETS, and those with an invalid rate."""
    known = {f"{name}.{scope}" for name, scopes in BUDGETS.items() for scope in scopes}
    invalid = []
    for name, text in settings.BUDGETS.items():
        try:
            _parse(text, 1.0)
        except ValueError:
            invalid.append(name)
        else:
            invalid += [name] if name not in known else []
    return invalid


def _scoped_values(name: str, who: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for scope, value in who.items():
        if scope not in BUDGETS[name]:
            raise KeyError(f"{name}.{scope}")  # a programming error
        if value is not None:
            yield scope, client_address.client_network(str(value)) if scope == "address" else str(value)


def _spend_all(name: str, cost: int, who: Mapping[str, object]) -> None:
    for scope, value in _scoped_values(name, who):
        for rate in rates_of(name, scope):
            _spend_one(name, rate, rate.key_for(name, scope, value), cost)


def _fill_up(name: str, who: Mapping[str, object]) -> None:
    batch = PREPAID_UNITS[name]
    try:
        for scope, value in _scoped_values(name, who):
            for rate in rates_of(name, scope):
                key = rate.key_for(name, scope, value)
                storage = None if _prepaid.has(key) else _storage()
                if storage and storage.acquire_sliding_window_entry(key, rate.amount, rate.get_expiry(), batch):
                    _prepaid.put(key, batch)
    except RedisError:
        _pause_redis()


def _spend_one(name: str, rate: RateLimitItem, key: str, cost: int) -> None:
    if _prepaid.take(key, cost):
        return
    batch = PREPAID_UNITS.get(name, 1)
    if storage := _storage():
        try:
            if batch > cost and storage.acquire_sliding_window_entry(key, rate.amount, rate.get_expiry(), batch):
                _prepaid.put(key, batch - cost)
                return
            if storage.acquire_sliding_window_entry(key, rate.amount, rate.get_expiry(), cost):
                return
            wait = _wait(rate, cost, *storage.get_sliding_window(key, rate.get_expiry()))
            raise TooManyRequests(name, wait)
        except RedisError as exc:
            logger.warning("Redis is not available, budgets are counted in this process: %s", type(exc).__name__)
            _pause_redis()
    if wait := _local.take(key, rate, cost):
        raise TooManyRequests(name, wait)


def _wait(
    rate: RateLimitItem, cost: int, previous: int, previous_ends: float, current: int, current_ends: float
) -> float:
    """Return the seconds until `cost` fits.

    Computed from the counts and remaining seconds of the last two windows.
    """
    expiry, room = rate.get_expiry(), rate.amount - cost
    if current <= room and previous:
        return previous_ends - (room + 1 - current) * expiry / previous
    if not current:
        return float(expiry)
    until_next = current_ends - expiry if current_ends > expiry else current_ends
    return until_next + expiry - max(0, room + 1) * expiry / current


# Redis

_threads = ThreadPoolExecutor(4, thread_name_prefix="budgets")
_redis_retry_at: dict[str, float] = {}


def _storage() -> RedisStorage | None:
    """Return the shared counters, or None for REDIS_RETRY_S after a failure."""
    if time.monotonic() < _redis_retry_at.get(settings.REDIS_URL, 0.0):
        return None
    return _connected(settings.REDIS_URL)


@lru_cache(maxsize=4)
def _connected(url: str) -> RedisStorage:
    options: dict[str, Any] = {
        "socket_timeout": REDIS_TIMEOUT_S,
        "socket_connect_timeout": REDIS_TIMEOUT_S,
        # Retry a connection that was closed while idle, but not a server that does not answer.
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    }
    return RedisStorage(url, key_prefix=KEY_PREFIX, **options)


def _pause_redis() -> None:
    _redis_retry_at[settings.REDIS_URL] = time.monotonic() + REDIS_RETRY_S


# Counts of this process


class _BoundedNumbers:
    """Numbers by key. Beyond MAX_LOCAL_KEYS the oldest are dropped."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def _keep(self, key: str, numbers: tuple[float, float]) -> None:
        self._numbers[key] = numbers
        self._numbers.move_to_end(key)
        while len(self._numbers) > MAX_LOCAL_KEYS:
            self._numbers.popitem(last=False)

    def forget(self, key: str) -> None:
        with self._lock:
            self._numbers.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._numbers.clear()

    def __len__(self) -> int:
        return len(self._numbers)


class _Buckets(_BoundedNumbers):
    """Token buckets: tokens left, and when they were counted."""

    def take(self, key: str, rate: RateLimitItem, cost: int) -> float:
        """Take `cost` and return 0, or return the seconds until it is available."""
        now, per_second = time.monotonic(), rate.amount / rate.get_expiry()
        with self._lock:
            left, at = self._numbers.get(key, (float(rate.amount), now))
            left = min(float(rate.amount), left + (now - at) * per_second)
            if left >= cost:
                self._keep(key, (left - cost, now))
                return 0.0
            self._keep(key, (left, now))
            return (cost - left) / per_second


class _PrepaidUnits(_BoundedNumbers):
    """Units taken from Redis in advance, valid for a minute."""

    LIFETIME_S = 60.0

    def has(self, key: str) -> bool:
        with self._lock:
            left, until = self._numbers.get(key, (0.0, 0.0))
            return left >= 1 and time.monotonic() <= until

    def take(self, key: str, cost: int) -> bool:
        with self._lock:
            left, until = self._numbers.get(key, (0.0, 0.0))
            if left < cost or time.monotonic() > until:
                return False
            self._numbers[key] = (left - cost, until)
            return True

    def put(self, key: str, units: int) -> None:
        with self._lock:
            self._keep(key, (float(units), time.monotonic() + self.LIFETIME_S))

    def take_from_all(self, keys: list[str], cost: int) -> bool:
        """Take `cost` from every key, or from none."""
        now = time.monotonic()
        with self._lock:
            held = [self._numbers.get(key, (0.0, 0.0)) for key in keys]
            if not all(left >= cost and now <= until for left, until in held):
                return False
            for key, (left, until) in zip(keys, held, strict=True):
                self._numbers[key] = (left - cost, until)
            return True


_local = _Buckets()
_prepaid = _PrepaidUnits()


def _take_prepaid(name: str, cost: int, who: Mapping[str, object]) -> bool:
    """Pay from prepaid units if they suffice, without a thread or a round trip."""
    if name not in PREPAID_UNITS:
        return False
    keys = [
        rate.key_for(name, scope, value) for scope, value in _scoped_values(name, who) for rate in rates_of(name, scope)
    ]
    return _prepaid.take_from_all(keys, cost)
