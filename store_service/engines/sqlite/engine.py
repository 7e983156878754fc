"""The SQLite engine: one writer, two readers, notes in commit order.

Owns the queue of writes in front of the one writing connection. A write starts at once when nothing runs; what
arrives during a commit goes together into the next one, without any timer. Nothing here polls: an idle engine executes
no statement. It must never acknowledge before the commit is durable. Read next: ``commit.py``, ``connection.py``.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from holdfast.refusal import Refusal
from store_service.engines.contract import Engine, Listener, Needs, Reader, Transaction
from store_service.engines.listening import Listeners
from store_service.engines.sqlite.commit import Unit, commit_together, is_broken_by, refusal_of
from store_service.engines.sqlite.connection import Lane, Session, make_reader, make_writer, open_lane
from store_service.engines.sqlite.errors import DatabaseUnusable
from store_service.engines.sqlite.migration import migrate, schema_version
from store_service.engines.sqlite.ownership import Ownership
from store_service.engines.sqlite.reader import SqliteReader
from store_service.engines.waiting import Outcome, Waiting, Write, closed, throttled

T = TypeVar("T")

#: Reading connections: a long list does not hold up a short read.
READERS: Final = 2

#: Connections that must not even be closed; the end of the process takes them.
_ABANDONED: Final[list[Lane]] = []

_log = logging.getLogger(__name__)


async def open_sqlite(path: str, *, pending_writes_max: int = 10_000, busy_timeout_ms: int = 5_000) -> Engine:
    """Open a database file, creating it when missing, and bring it to the newest schema.

    The directory must exist. At most ``pending_writes_max`` units wait for a commit; a write waits up to
    ``busy_timeout_ms`` for a lock that a foreign process holds. Raises DatabaseUnusable: DatabaseInUse when
    another engine has the file, ForeignDatabase, SchemaTooNew.
    """
    if path == ":memory:" or path.startswith("file:"):
        raise ValueError(f"{path!r} is not a file path; a store lives in a file, e.g. holdfast.db")
    ownership = Ownership(path)
    path = ownership.path
    lanes: list[Lane] = []
    try:
        await _open_lanes(path, lanes, busy_timeout_ms)
    except BaseException as exc:
        await _close(lanes, ownership)
        if isinstance(exc, sqlite3.Error):
            raise DatabaseUnusable(path, f"database {path} cannot be opened: {exc}") from exc
        raise
    return SqliteEngine(ownership, lanes, pending_writes_max)


async def _open_lanes(path: str, lanes: list[Lane], busy_timeout_ms: int) -> None:
    lanes.append(await open_lane(path, busy_timeout_ms=busy_timeout_ms))
    found = await lanes[0].run(lambda session: schema_version(session, path))
    await lanes[0].run(make_writer)
    await lanes[0].run(lambda session: migrate(session, found))
    for _ in range(READERS):
        lanes.append(await open_lane(path, busy_timeout_ms=busy_timeout_ms))
        await lanes[-1].run(make_reader)


async def _close(lanes: Sequence[Lane], ownership: Ownership) -> None:
    try:
        for lane in reversed(lanes):
            await lane.close()
    finally:
        ownership.release()


class SqliteEngine:
    """``contract.Engine`` on one SQLite file; made by ``open_sqlite``."""

    backend = "sqlite"

    def __init__(self, ownership: Ownership, lanes: Sequence[Lane], pending_writes_max: int) -> None:
        self._ownership = ownership
        self._writer, *self._readers = lanes
        self._pending_writes_max = pending_writes_max
        self._waiting: Waiting[Unit] = Waiting()
        self._is_committing = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._listeners = Listeners()
        self._failure: str = ""
        self._failing: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._closed: asyncio.Future[None] | None = None

    async def write(self, unit: Callable[[Transaction], T], needs: Needs | None = None) -> T:
        """Run a unit in the next commit; see ``contract.Engine``.

        A caller that is cancelled before its commit began takes its unit out; later the unit is
        committed all the same.
        """
        self._check_open()
        if self._failure:
            raise Refusal("NOT_READY", self._failure)
        if len(self._waiting) >= self._pending_writes_max:
            raise throttled(len(self._waiting), self._pending_writes_max)
        done: asyncio.Future[T] = self._waiting.add(unit)
        if not self._is_committing:
            self._is_committing = True
            self._is_idle.clear()
            # Not at once: what else this turn of the event loop brings goes into the same commit.
            asyncio.get_running_loop().call_soon(self._commit_next)
        return await done

    async def read(self, query: Callable[[Reader], T]) -> T:
        """Run a query on one snapshot, in one crossing of a reader's thread; see ``contract.Engine``."""
        self._check_open()
        reader = min(self._readers, key=lambda lane: lane.waiting)
        try:
            return await reader.run(lambda session: _read_snapshot(session, query))
        except sqlite3.Error as exc:
            if not is_broken_by(exc):
                raise
            raise Refusal("NOT_READY", f"the database could not be read ({exc})") from exc

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after each commit that left notes; see ``contract.Engine``. It must not raise."""
        return self._listeners.add(listener)

    async def failed(self) -> str:
        """Wait for an error that leaves the file behind this handle in an unknown state; see ``contract.Engine``."""
        return await asyncio.shield(self._failing)

    @property
    def statements(self) -> int:
        """SQL statements executed since the start, transactions included."""
        return self._writer.executed + sum(reader.executed for reader in self._readers)

    def wall_ns(self) -> int:
        """Return the clock of this machine; see ``contract.Engine``."""
        return time.time_ns()

    async def close(self) -> None:
        """Commit what waits, move the WAL into the file, and let the file go. Idempotent."""
        if self._closed is None:
            self._closed = asyncio.ensure_future(self._shut_down())
        await asyncio.shield(self._closed)

    async def _shut_down(self) -> None:
        await self._is_idle.wait()
        for reader in self._readers:
            await reader.close()
        if self._failure:
            # SQLite checkpoints when it closes: that would be a write to a file whose state is not known.
            _ABANDONED.append(self._writer)
            self._ownership.release()
            return
        try:
            await self._writer.run(lambda session: session.all("PRAGMA wal_checkpoint(TRUNCATE)"))
        except sqlite3.OperationalError as error:
            # No room for what is in the WAL already: it is durable there, and the next start moves it.
            _log.warning("the WAL is left beside the database: %s", error)
        finally:
            await _close([self._writer], self._ownership)

    def _check_open(self) -> None:
        if self._closed is not None:
            raise closed()

    def _commit_next(self) -> None:
        """Hand the writes that wait to the writer's thread, or rest. Callbacks, not a task: each step of a task costs
        the lone write another turn of the event loop."""
        batch = self._waiting.next_batch()
        if not batch:
            self._is_committing = False
            self._is_idle.set()
            return
        units = [write.unit for write in batch]
        committing = self._writer.post(lambda session: commit_together(session, units))
        committing.add_done_callback(lambda done: self._committed(batch, done))

    def _committed(self, batch: Sequence[Write[Unit]], done: asyncio.Future[list[Outcome]]) -> None:
        try:
            outcomes = done.result()
        except Exception as exc:
            self._fail(batch, exc)
        else:
            for write, outcome in zip(batch, outcomes, strict=True):
                write.resolve(outcome)
            self._listeners.tell([note for outcome in outcomes for note in outcome.notes])
        self._commit_next()

    def _fail(self, batch: Sequence[Write[Unit]], error: Exception) -> None:
        refused = list(batch)
        if is_broken_by(error):
            _log.critical("the database failed and takes no more writes until the store is restarted: %s", error)
            self._failure = f"the database failed ({error}); the store takes no writes until it is restarted"
            if not self._failing.done():
                self._failing.set_result(self._failure)
            refused += self._waiting.take_all()
        for write in refused:
            refusal = refusal_of(error) if isinstance(error, sqlite3.Error) else error
            write.resolve(Outcome(error=refusal))


def _read_snapshot(session: Session, query: Callable[[Reader], T]) -> T:
    session.execute("BEGIN")
    try:
        return query(SqliteReader(session))
    finally:
        if session.in_transaction:
            session.execute("COMMIT")
