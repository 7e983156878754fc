"""A store and a runtime in this process over real sockets, a client on the runtime, and a worker's stub."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc.aio
import pytest

from holdfast import Client
from runtime_service.server import RunningRuntime
from tests.step_workers import outside_workflows
from tests.step_workers.worker import Worker
from tests.support.runtime import running_runtime
from tests.support.store import Store


@pytest.fixture
async def runtime(store: Store) -> AsyncIterator[RunningRuntime]:
    async with running_runtime(store.address, *outside_workflows.ALL, linger_ms=20) as running:
        yield running


@pytest.fixture
async def client(runtime: RunningRuntime) -> AsyncIterator[Client]:
    async with Client(runtime.address) as opened:
        yield opened


@pytest.fixture
async def worker(runtime: RunningRuntime) -> AsyncIterator[Worker]:
    async with grpc.aio.insecure_channel(runtime.address) as channel:
        yield Worker(channel)
