"""Looking at a database file without owning it: one read-only snapshot, beside a running store or without any.

Owns the read-only connection. It takes no lock that a store waits for, runs no migration and must never write: SQLite
itself refuses writes on it. Nothing of the engine's group commit is here; read ``engine.py`` for that.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from store_service.engines.contract import Reader
from store_service.engines.sqlite.connection import Session
from store_service.engines.sqlite.errors import DatabaseUnusable
from store_service.engines.sqlite.migration import known_migrations, schema_version
from store_service.engines.sqlite.reader import SqliteReader

T = TypeVar("T")


def read_file(path: str, query: Callable[[Reader], T]) -> T:
    """Run a query on one snapshot of a database file, in this thread, while a store may go on writing to it.

    Raises DatabaseUnusable when there is no file, when it is not a store (ForeignDatabase), or when its schema is
    not the one of this version.
    """
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
        return query(SqliteReader(session))
    except sqlite3.Error as exc:
        raise DatabaseUnusable(path, f"database {path} cannot be read: {exc}") from exc
    finally:
        connection.close()


def _check_schema(session: Session, path: str) -> None:
    found, newest = schema_version(session, path), known_migrations()[-1].version
    if found < newest:
        raise DatabaseUnusable(
            path, f"database {path} has schema {found}, this version reads {newest}; start a store on it once"
        )
