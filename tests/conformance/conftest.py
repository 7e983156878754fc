"""The engines that must pass: one parameter an engine, each test on a database of its own.

``database`` opens the same database as often as a test likes (one engine at a time); ``engine`` is one that is open.
A new engine joins by a row in ``_DATABASES`` and passes every ``test_engine_*`` unchanged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from store_service.engines import open_engine
from store_service.engines.contract import Engine
from store_service.engines.postgres import Options, open_postgres
from store_service.engines.sqlite.memory import MemoryDatabase, MemoryEngine

Open = Callable[..., Awaitable[Engine]]

#: Longer than a test: what a replica tells others is not the matter here.
POLL_S = 300.0


def _sqlite(folder: Path, request: pytest.FixtureRequest) -> Open:
    return partial(open_engine, f"sqlite:///{folder / 'holdfast.db'}")


def _memory(folder: Path, request: pytest.FixtureRequest) -> Open:
    database = MemoryDatabase()

    async def open_again(**options: int) -> Engine:
        return MemoryEngine(database)

    return open_again


def _postgres(folder: Path, request: pytest.FixtureRequest) -> Open:
    url = request.getfixturevalue("postgres_url")

    async def open_again(**options: int) -> Engine:
        return await open_postgres(url, Options(poll_s=POLL_S, **options))

    return open_again


_DATABASES: dict[str, Callable[[Path, pytest.FixtureRequest], Open]] = {
    "memory": _memory,
    "postgres": _postgres,
    "sqlite": _sqlite,
}

OpenAgain = Callable[[], Awaitable[Engine]]


@pytest.fixture(params=sorted(_DATABASES))
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenAgain]:
    opening = _DATABASES[request.param](tmp_path, request)
    opened: list[Engine] = []

    async def open_again(**options: int) -> Engine:
        opened.append(await opening(**options))
        return opened[-1]

    yield open_again
    for engine in opened:
        await engine.close()


@pytest.fixture
async def engine(database: OpenAgain) -> Engine:
    return await database()


@pytest.fixture
def waits_are_possible(request: pytest.FixtureRequest) -> None:
    """For promises about units that wait for each other: an engine that commits in the caller's turn has none."""
    if request.node.callspec.params.get("database") == "memory":
        pytest.skip("a unit of this engine never waits")
