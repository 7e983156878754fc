"""A store without a server: the rules on a real SQLite file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store_service.engines import open_engine
from tests.rules.book import Book


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    engine = await open_engine(f"sqlite:///{tmp_path / 'rules.db'}")
    yield Book(engine)
    await engine.close()
