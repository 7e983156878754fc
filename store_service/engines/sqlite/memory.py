"""The SQLite engine without a file: the same rows, statements and rules, in the memory of one thread.

For tests of workflows. Owns a private database that a file engine's code reads and writes, on the event loop itself: no
thread, no fsync, no waiting, so a unit is committed when ``write`` is awaited. The schema is migrated once per process
and copied for each database. Must never serve a real store: nothing outlives the process. Proof: the conformance suite;
what it says of units that wait for each other has no meaning here.
"""

from __future__ import annotations

import functools
import logging
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from holdfast.refusal import Refusal
from store_service.engines.contract import Listener, Note, Reader, Transaction
from store_service.engines.sqlite.commit import commit_together
from store_service.engines.sqlite.connection import STATEMENTS_CACHED, Session
from store_service.engines.sqlite.migration import migrate
from store_service.engines.sqlite.transaction import SqliteTransaction

T = TypeVar("T")

_log = logging.getLogger(__name__)


class MemoryDatabase:
    """The rows of a memory engine. They stay until ``close``, so that another engine can be opened on them."""

    def __init__(self) -> None:
        self._connection = _connect()
        self._connection.deserialize(_template())
        self.session = Session(self._connection)
        SqliteTransaction(self.session).set_meta("store_id", secrets.token_hex(16))

    def close(self) -> None:
        """Forget everything. Idempotent."""
        self._connection.close()


class MemoryEngine:
    """``contract.Engine`` on a `MemoryDatabase`. Belongs to one event loop and its thread."""

    backend = "memory"

    def __init__(self, database: MemoryDatabase) -> None:
        self._session = database.session
        self._listeners: list[Listener] = []
        self._is_closed = False

    async def write(self, unit: Callable[[Transaction], T]) -> T:
        """Run a unit and commit it; see ``contract.Engine``."""
        self._check_open()
        (outcome,) = commit_together(self._session, [unit])
        if outcome.error is not None:
            raise outcome.error
        self._tell(outcome.notes)
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
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    @property
    def statements(self) -> int:
        """SQL statements executed since the start, transactions included."""
        return self._session.executed

    async def close(self) -> None:
        """Take no more. Idempotent; the database stays."""
        self._is_closed = True

    def _check_open(self) -> None:
        if self._is_closed:
            raise Refusal("NOT_READY", "the store is closed")

    def _tell(self, notes: Sequence[Note]) -> None:
        if not notes:
            return
        for listener in tuple(self._listeners):
            try:
                listener(notes)
            except Exception:
                # The commit stands and the other listeners are owed their notes.
                _log.exception("a listener to commits raised")


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
