"""A runtime with an HTTP port, over a real store, with the workflows of ``webhook_workflows``."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from holdfast import Client
from runtime_service.server import RunningRuntime
from tests.http.webhook_workflows import ALL
from tests.support.runtime import running_runtime


@pytest.fixture
async def runtime(store_address: str) -> AsyncIterator[RunningRuntime]:
    async with running_runtime(store_address, *ALL, http="127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def client(runtime: RunningRuntime) -> AsyncIterator[Client]:
    async with Client(runtime.address) as opened:
        yield opened


@pytest.fixture
def base(runtime: RunningRuntime) -> str:
    assert runtime.http is not None
    return f"http://{runtime.http.address}"
