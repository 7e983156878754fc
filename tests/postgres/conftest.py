"""Several engines over one PostgreSQL: what replicas of a store are to each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from store_service.engines.contract import Engine
from store_service.engines.postgres import Options, open_postgres
from tests.support.postgres import PostgresServer

OpenReplica = Callable[..., Awaitable[Engine]]

#: Longer than a test: what is heard within it was a hint.
NEVER_S = 300.0


@pytest.fixture
async def replica(postgres_url: str) -> AsyncIterator[OpenReplica]:
    """Open another engine on the database of the test; ``options`` are those of `Options`."""
    opened: list[Engine] = []

    async def open_one(**options: Any) -> Engine:
        wanted = Options(**{"poll_s": NEVER_S, "writers": 2, "readers": 1, **options})
        opened.append(await open_postgres(postgres_url, wanted))
        return opened[-1]

    yield open_one
    for engine in opened:
        await engine.close()


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A durable server of the module's own, to be stopped and killed."""
    server = PostgresServer()
    yield server
    server.close()
