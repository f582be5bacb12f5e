"""Reuse and closing of provider connections per event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from heygen_portal import providers
from heygen_portal.providers.contract.provider import Provider


@dataclass
class Account:
    kind: str = "heygen"
    base_url: str = "https://api.test"
    api_key: str = "sk-key"
    key_header: str = "x-api-key"
    is_sandbox: bool = False


async def test_an_account_reuses_its_provider_until_its_settings_change() -> None:
    account = Account()
    async with providers.closing_providers():
        first = providers.for_account(account)
        assert providers.for_account(Account()) is first
        assert providers.for_account(replace(account, api_key="sk-new")) is not first


def test_event_loops_share_no_connections() -> None:
    async def use() -> Provider:
        async with providers.closing_providers():
            return providers.for_account(Account())

    assert asyncio.run(use()) is not asyncio.run(use())


async def test_closing_providers_closes_the_shared_provider() -> None:
    async with providers.closing_providers():
        before = providers.for_account(Account())
    async with providers.closing_providers():
        assert providers.for_account(Account()) is not before


async def test_a_provider_unused_for_long_is_closed_when_another_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heygen_portal.providers.http.pool.UNUSED_SECONDS", -1)
    async with providers.closing_providers():
        unused = providers.for_account(Account(api_key="sk-old"))
        providers.for_account(Account())
        assert providers.for_account(Account(api_key="sk-old")) is not unused


async def test_closing_a_separate_provider_leaves_the_shared_one_open() -> None:
    async with providers.closing_providers():
        shared = providers.for_account(Account())
        async with providers.opened(Account()) as own:
            assert own is not shared
        assert providers.for_account(Account()) is shared
