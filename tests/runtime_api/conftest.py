"""A runtime in this process, over a real store on a real port, with the workflows of ``definitions_for_tests``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtime_service.server import RunningRuntime
from tests.runtime_api.definitions_for_tests import ALL
from tests.support.runtime import running_runtime, runtime_stub


@pytest.fixture
async def runtime(store_address: str) -> AsyncIterator[RunningRuntime]:
    async with running_runtime(store_address, *ALL) as running:
        yield running


@pytest.fixture
async def stub(runtime: RunningRuntime) -> AsyncIterator[Any]:
    async with runtime_stub(runtime.address) as opened:
        yield opened
