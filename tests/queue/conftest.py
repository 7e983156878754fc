"""Fixtures of the queue tests: an engine of their own for the rules, without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.clocks import EPOCH_MS
from tests.support.engines import ENGINES, open_for
from tests.support.queue_bench import Bench


@pytest.fixture(params=ENGINES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    engine = await open_for(request, tmp_path)
    yield Bench(engine, EPOCH_MS)
    await engine.close()
