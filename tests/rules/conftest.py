"""A store without a server: the rules on a real SQLite file and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.rules.book import Book
from tests.support.engines import ENGINES, open_for


@pytest.fixture(params=ENGINES)
async def book(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Book]:
    engine = await open_for(request, tmp_path)
    yield Book(engine)
    await engine.close()
