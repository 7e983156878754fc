"""Fixtures of the queue tests: an engine of their own for the rules, without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store_service.engines import open_engine
from tests.support.clocks import EPOCH_MS
from tests.support.queue_bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    engine = await open_engine(f"sqlite:///{tmp_path / 'queue.db'}")
    yield Bench(engine, EPOCH_MS)
    await engine.close()
