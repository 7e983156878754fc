"""Looking at a database file without owning it: one read-only snapshot, beside a running store or without any.

Owns the read-only connection. It takes no lock that a store waits for, runs no migration and must never write: SQLite
itself refuses writes on it. Nothing of the engine's group commit is here; read ``engine.py`` for that.
"""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from store_service.engines.contract import Reader
from store_service.engines.sqlite.connection import Session
from store_service.engines.sqlite.errors import DatabaseUnusable
from store_service.engines.sqlite.migration import known_migrations, migrate, schema_version
from store_service.engines.sqlite.reader import SqliteReader

T = TypeVar("T")

#: Findings of one file; past so many it does not matter what the others are.
_DAMAGES_MAX: Final = 100


def read_file(path: str, query: Callable[[Reader], T]) -> T:
    """Run a query on one snapshot of a database file, in this thread, while a store may go on writing to it.

    Raises DatabaseUnusable when there is no file, when it is not a store (ForeignDatabase), or when its schema is
    not the one of this version.
    """
    with snapshot(path) as session:
        return query(SqliteReader(session))


def damages_of(path: str) -> list[str]:
    """Return what is broken in a database file apart from its rows: pages, trees, indexes, schema; empty when whole.

    Reads the whole file. Raises DatabaseUnusable as `read_file` does.
    """
    with snapshot(path) as session:
        found = [text for (text,) in session.all(f"PRAGMA integrity_check({_DAMAGES_MAX})") if text != "ok"]
        changed = set(_schema(session)) ^ set(_schema_of_this_version())
        return found + [f"the schema differs from that of this version at {name}" for name in sorted(dict(changed))]


def _schema(session: Session) -> list[tuple[str, str]]:
    return [(name, sql) for name, sql in session.all("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")]


@functools.cache
def _schema_of_this_version() -> list[tuple[str, str]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        session = Session(connection)
        migrate(session, 0)
        return _schema(session)
    finally:
        connection.close()


@contextmanager
def snapshot(path: str) -> Iterator[Session]:
    """Open a file read-only, in one transaction that lasts as long as the block. Raises as `read_file` does."""
    if not os.path.isfile(path):
        raise DatabaseUnusable(path, f"there is no database {path}")
    try:
        connection = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as exc:
        raise DatabaseUnusable(path, f"database {path} cannot be read: {exc}") from exc
    try:
        session = Session(connection)
        session.execute("BEGIN")
        _check_schema(session, path)
        yield session
    except (sqlite3.Error, UnicodeDecodeError) as exc:
        # UnicodeDecodeError: SQLite quotes what it found in a damaged file, and sqlite3 decodes that strictly.
        raise DatabaseUnusable(path, f"database {path} cannot be read: {exc}") from exc
    finally:
        connection.close()


def _check_schema(session: Session, path: str) -> None:
    found, newest = schema_version(session, path), known_migrations()[-1].version
    if found < newest:
        raise DatabaseUnusable(
            path, f"database {path} has schema {found}, this version reads {newest}; start a store on it once"
        )
