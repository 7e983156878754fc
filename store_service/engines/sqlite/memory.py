"""The SQLite engine without a file: the same rows, statements and rules, in the memory of one thread.

For tests of workflows. Owns a private database that a file engine's code reads and writes, on the event loop itself: no
thread, no fsync, no waiting, so a unit is committed when ``write`` is awaited. The schema is migrated once per process
and copied for each database. A small one that is closed is emptied and used again, because its connection has every
statement prepared, which is a fifth of what a short test costs. Must never serve a real store: nothing outlives the
process. Proof: the conformance suite; what it says of units that wait for each other has no meaning here.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from store_service.engines.contract import Listener, Needs, Reader, Transaction
from store_service.engines.listening import Listeners
from store_service.engines.sqlite.commit import commit_together
from store_service.engines.sqlite.connection import STATEMENTS_CACHED, Session
from store_service.engines.sqlite.migration import migrate
from store_service.engines.sqlite.transaction import SqliteTransaction
from store_service.engines.waiting import closed

T = TypeVar("T")

#: Emptied connections that a thread keeps, and the pages (4 KiB) that one may have to be worth emptying.
_SPARE_MAX: Final = 2
_SPARE_PAGES_MAX: Final = 256

#: Tables whose rows are part of the template.
_KEPT_TABLES: Final = ("meta", "schema_migrations")


class MemoryDatabase:
    """The rows of a memory engine. They stay until ``close``, so that another engine can be opened on them."""

    def __init__(self) -> None:
        self._connection = _spare.connections.pop() if _spare.connections else _new()
        self._is_closed = False
        self.session = Session(self._connection)
        SqliteTransaction(self.session).set_meta("store_id", secrets.token_hex(16))

    def close(self) -> None:
        """Forget everything. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if len(_spare.connections) < _SPARE_MAX and _is_emptied(self._connection):
            _spare.connections.append(self._connection)
        else:
            self._connection.close()


class MemoryEngine:
    """``contract.Engine`` on a `MemoryDatabase`. Belongs to one event loop and its thread."""

    backend = "memory"

    def __init__(self, database: MemoryDatabase) -> None:
        self._session = database.session
        self._listeners = Listeners()
        self._is_closed = False

    async def write(self, unit: Callable[[Transaction], T], needs: Needs | None = None) -> T:
        """Run a unit and commit it; see ``contract.Engine``."""
        self._check_open()
        (outcome,) = commit_together(self._session, [unit])
        if outcome.error is not None:
            raise outcome.error
        self._listeners.tell(outcome.notes)
        value: T = outcome.value
        return value

    async def read(self, query: Callable[[Reader], T]) -> T:
        """Run a query; see ``contract.Engine``."""
        return self.read_now(query)

    def read_now(self, query: Callable[[Transaction], T]) -> T:
        """Run a query at once, for who cannot await; it must not write."""
        self._check_open()
        return query(SqliteTransaction(self._session))

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after each commit that left notes; see ``contract.Engine``."""
        return self._listeners.add(listener)

    async def failed(self) -> str:
        """Wait for ever: memory has no disk that fails."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    @property
    def statements(self) -> int:
        """SQL statements executed since the start, transactions included."""
        return self._session.executed

    def wall_ns(self) -> int:
        """Return the clock of this machine; see ``contract.Engine``."""
        return time.time_ns()

    async def close(self) -> None:
        """Take no more. Idempotent; the database stays."""
        self._is_closed = True

    def _check_open(self) -> None:
        if self._is_closed:
            raise closed()


class _Spare(threading.local):
    """Emptied connections, by thread: a connection belongs to the thread that made it."""

    def __init__(self) -> None:
        self.connections: list[sqlite3.Connection] = []


_spare: Final = _Spare()


def _new() -> sqlite3.Connection:
    connection = _connect()
    connection.deserialize(_template())
    return connection


def _is_emptied(connection: sqlite3.Connection) -> bool:
    """Delete every row but those of the template; False for a database that is better thrown away."""
    if connection.in_transaction or connection.execute("PRAGMA page_count").fetchone()[0] > _SPARE_PAGES_MAX:
        return False
    connection.execute("BEGIN")
    for table in _tables():
        connection.execute(f'DELETE FROM "{table}"')
    connection.execute("DELETE FROM meta WHERE key <> 'store_id'")
    connection.execute("COMMIT")
    return True


@functools.cache
def _tables() -> tuple[str, ...]:
    """Return the names of the tables that are empty in a new database, the counters of given numbers among them."""
    connection = _new()
    try:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        return tuple(name for (name,) in names if name not in _KEPT_TABLES)
    finally:
        connection.close()


def _connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, cached_statements=STATEMENTS_CACHED)


@functools.cache
def _template() -> bytes:
    """Return a migrated, empty database."""
    connection = _connect()
    try:
        migrate(Session(connection), 0)
        return connection.serialize()
    finally:
        connection.close()
