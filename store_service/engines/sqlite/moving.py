"""A SQLite file as the source or the target of `holdfast migrate`.

Owns both ways. A source is locked against every store and only read. A target is written under another name and gets
its own when it is whole and durable, so an interrupted move leaves no database behind, only a file ending in
``.migrating`` that the next one writes anew. It must never touch a database that exists. Read ``inspection.py`` for how
a file is read.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from store_service.engines.moving import Row, Table, quoted
from store_service.engines.sqlite.connection import Session
from store_service.engines.sqlite.errors import DatabaseUnusable
from store_service.engines.sqlite.inspection import snapshot
from store_service.engines.sqlite.migration import migrate
from store_service.engines.sqlite.ownership import Ownership
from store_service.engines.sqlite.reader import SqliteReader

#: What a target is called until it is whole.
UNFINISHED_SUFFIX: Final = ".migrating"

_LAST_POSITION: Final = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"
_FORGET_LAST_POSITION: Final = "DELETE FROM sqlite_sequence WHERE name = 'events'"
_PUT_LAST_POSITION: Final = "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)"


class SqliteMoved:
    """``engines.moving.Moved`` and ``MovedInto`` on a session."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.reader = SqliteReader(session)
        self._session = session

    def rows(self, table: Table) -> Iterator[Row]:
        text = f"SELECT {quoted(table.columns)} FROM {table.name} ORDER BY {quoted(table.order)}"
        truths = [table.place(name) for name in table.truths]
        for values in self._session.execute(text):
            row = list(values)
            for place in truths:
                row[place] = bool(row[place])
            yield tuple(row)

    def last_position(self) -> int:
        return self._session.scalar(_LAST_POSITION) or 0

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        marks = ", ".join("?" * len(table.columns))
        text = f"INSERT INTO {table.name} ({quoted(table.columns)}) VALUES ({marks})"
        self._session.execute(f"DELETE FROM {table.name}")
        for row in rows:
            self._session.execute(text, row)

    def put_last_position(self, position: int) -> None:
        self._session.execute(_FORGET_LAST_POSITION)
        self._session.execute(_PUT_LAST_POSITION, (position,))


@contextmanager
def source(path: str) -> Iterator[SqliteMoved]:
    """Open a database to move it away; no store can open it while the block lasts.

    Raises DatabaseUnusable: DatabaseInUse while a store has it, and as `inspection.snapshot` does.
    """
    if not os.path.isfile(path):
        raise DatabaseUnusable(path, f"there is no database {path}")
    ownership = Ownership(path)
    try:
        with snapshot(path) as session:
            yield SqliteMoved(path, session)
    finally:
        ownership.release()


@contextmanager
def target(path: str) -> Iterator[SqliteMoved]:
    """Make a database; it is there, durable, once the block has ended without an error, and else not at all.

    Raises DatabaseUnusable when there is one already, when a store has the name, or when it cannot be written.
    """
    ownership = Ownership(path)
    try:
        if os.path.exists(ownership.path):
            raise DatabaseUnusable(path, f"{path} exists; a store is moved to where there is none yet")
        unfinished = ownership.path + UNFINISHED_SUFFIX
        _remove(unfinished)
        try:
            with _written(unfinished) as session:
                yield SqliteMoved(path, session)
        except sqlite3.Error as error:
            raise DatabaseUnusable(path, f"database {path} cannot be written: {error}") from error
        os.replace(unfinished, ownership.path)
        _make_durable(os.path.dirname(ownership.path))
    finally:
        ownership.release()


@contextmanager
def _written(path: str) -> Iterator[Session]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        session = Session(connection)
        session.execute("PRAGMA synchronous = FULL")
        migrate(session, 0)
        session.execute("BEGIN IMMEDIATE")
        yield session
        session.execute("COMMIT")
    except BaseException:
        connection.close()
        _remove(path)
        raise
    connection.close()


def _remove(path: str) -> None:
    for name in (path, path + "-journal"):
        if os.path.exists(name):
            os.remove(name)


def _make_durable(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
