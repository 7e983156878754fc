"""Fixtures that every test may use: a real store in this process, or in a process of its own.

See ``tests/support/store.py`` for what they are and for what else there is.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from store_service.auditing import audit_database
from tests.support.clocks import ManualClock
from tests.support.engines import ENGINES, open_for
from tests.support.postgres import PostgresServer
from tests.support.store import Store, StoreProcess, running_store

# No runtime of the tests opens the default HTTP port, in this process or a child: somebody else's may have it.
os.environ["HOLDFAST_HTTP"] = ""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole session, without fsync; for what it keeps, not for what survives its crash."""
    server = PostgresServer(is_durable=False)
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty, migrated database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store in this process on a free port, with a client on it and real time."""
    async with running_store(tmp_path / "store.db") as running:
        yield running


@pytest.fixture(params=ENGINES)
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """As `store`, once on each engine."""
    async with running_store(tmp_path / "test.db", engine=await open_for(request, tmp_path)) as running:
        yield running


@pytest.fixture
def store_address(store: Store) -> str:
    """The address of `store`, for code that brings its own client."""
    return store.address


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    return ManualClock()


@pytest.fixture
async def clocked_store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    """As `store`, on the `clock` of the test."""
    async with running_store(tmp_path / "store.db", clock=clock) as running:
        yield running


@pytest.fixture
def store_process(tmp_path: Path) -> Iterator[StoreProcess]:
    """A store as a real process: kill it, pause it, start it again on the same port and file. Audited at the end."""
    process = StoreProcess(tmp_path / "store.db")
    yield process
    process.close()
    assert not process.is_audited or audit_database(str(process.database)).findings == ()
