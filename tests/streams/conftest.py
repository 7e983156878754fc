"""A client on a runtime in this process, over a real store, both on real ports."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from holdfast import Client
from tests.streams.writers import ALL
from tests.support.runtime import running_runtime


@pytest.fixture
async def runtime_address(store_address: str) -> AsyncIterator[str]:
    async with running_runtime(store_address, *ALL) as running:
        yield running.address


@pytest.fixture
async def client(runtime_address: str) -> AsyncIterator[Client]:
    async with Client(runtime_address) as opened:
        yield opened
