"""One SQLite connection with its thread, and the one door into it.

aiosqlite gives each connection a thread; an ``await`` on it costs about 150 µs, a statement in it about 3. So a
whole function crosses at once, with the raw connection in hand. aiosqlite has no public call for that: ``_tx`` (its
thread's queue) and ``_conn`` are used here and nowhere else, and ``tests/conformance/test_sqlite_connection.py`` pins
that they exist. Pragmas that decide about durability are set here, explicitly. Read next: ``commit.py``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import aiosqlite

T = TypeVar("T")

#: Pages in the WAL before a commit moves them into the database file: 8 MiB, so that it is recycled, not grown.
WAL_CHECKPOINT_PAGES = 2_000
#: Bytes that an exceptionally grown WAL is cut back to.
WAL_BYTES_MAX = 64 * 1024 * 1024
#: Prepared statements kept per connection; all of ``statements.py`` fit.
STATEMENTS_CACHED = 256
#: Page caches, KiB. They stay filled, so together they bound what an idle store holds: 12 + 2 * 2 MiB of its 80.
WRITER_CACHE_KIB = 12 * 1024
READER_CACHE_KIB = 2 * 1024

_COMMON = (
    "PRAGMA foreign_keys = OFF",
    "PRAGMA temp_store = MEMORY",
)
_WRITER = (
    *_COMMON,
    "PRAGMA synchronous = FULL",
    f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}",
    f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}",
    f"PRAGMA cache_size = -{WRITER_CACHE_KIB}",
)
_READER = (
    *_COMMON,
    "PRAGMA query_only = ON",
    "PRAGMA wal_autocheckpoint = 0",
    f"PRAGMA cache_size = -{READER_CACHE_KIB}",
)


class Session:
    """The raw connection as seen inside its thread. ``executed`` counts statements, transactions included."""

    __slots__ = ("_connection", "executed")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.executed = 0

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Execute one statement."""
        self.executed += 1
        return self._connection.execute(sql, parameters)

    def one(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """Return the first row as a tuple, None when there is none."""
        return self.execute(sql, parameters).fetchone()

    def all(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Return every row, as tuples."""
        return self.execute(sql, parameters).fetchall()

    def scalar(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """Return the first column of the first row, None when there is no row."""
        row = self.one(sql, parameters)
        return None if row is None else row[0]

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction


class Lane:
    """A connection and its thread. Functions run there one after the other, in the order of ``run``."""

    __slots__ = ("_connection", "_session", "waiting")

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._session = Session(connection._conn)
        self.waiting = 0

    @property
    def executed(self) -> int:
        """Statements executed so far."""
        return self._session.executed

    def post(self, function: Callable[[Session], T]) -> asyncio.Future[T]:
        """Run a function in the thread, in one crossing; returns its outcome to come. Cancelling that stops nothing."""
        if not self._connection._running:
            raise ValueError("the connection is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._connection._tx.put_nowait((done, partial(function, self._session)))
        return done

    async def run(self, function: Callable[[Session], T]) -> T:
        """Run a function in the thread and return what it returns."""
        self.waiting += 1
        try:
            return await self.post(function)
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """Close the connection after what was handed in, and end the thread."""
        await self._connection.close()


async def open_lane(path: str, *, busy_timeout_ms: int) -> Lane:
    """Connect without changing the file: no pragma that writes is set yet."""
    connection = aiosqlite.connect(
        path, isolation_level=None, cached_statements=STATEMENTS_CACHED, timeout=busy_timeout_ms / 1000
    )
    # A store that ends without close() must end: its thread must not keep the process. That is no worse than a crash.
    connection._thread.daemon = True
    return Lane(await connection)


def make_writer(session: Session) -> None:
    """Turn the connection into the one that writes and checkpoints; switches the file to WAL."""
    session.execute("PRAGMA journal_mode = WAL")
    for pragma in _WRITER:
        session.execute(pragma)


def make_reader(session: Session) -> None:
    """Turn the connection into one that can neither write nor checkpoint."""
    for pragma in _READER:
        session.execute(pragma)
