"""A store and a runtime in this process, over real sockets, and a client on the runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from holdfast import Client
from runtime_service.server import RunningRuntime
from tests.composition import family
from tests.support.runtime import running_runtime
from tests.support.store import Store


@pytest.fixture
async def runtime(store: Store) -> AsyncIterator[RunningRuntime]:
    family.DONE.clear()
    async with running_runtime(store.address, *family.ALL, linger_ms=20) as running:
        yield running


@pytest.fixture
async def client(runtime: RunningRuntime) -> AsyncIterator[Client]:
    async with Client(runtime.address) as opened:
        yield opened
