"""The engines that must pass: one parameter an engine, each test on a database of its own.

``database`` opens the same database as often as a test likes (one engine at a time); ``engine`` is one that is open.
A new engine joins by a row in ``_DATABASES`` and passes every ``test_engine_*`` unchanged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from store_service.engines import open_engine
from store_service.engines.contract import Engine

_DATABASES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder / 'holdfast.db'}",
}

OpenAgain = Callable[[], Awaitable[Engine]]


@pytest.fixture(params=sorted(_DATABASES))
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenAgain]:
    url = _DATABASES[request.param](tmp_path)
    opened: list[Engine] = []

    async def open_again(**options: int) -> Engine:
        opened.append(await open_engine(url, **options))
        return opened[-1]

    yield open_again
    for engine in opened:
        await engine.close()


@pytest.fixture
async def engine(database: OpenAgain) -> Engine:
    return await database()
