"""Looking at a PostgreSQL store without serving it: one read-only snapshot, beside running stores or without any.

Owns the connection of an audit. It runs no migration and must never write: the transaction is READ ONLY. Nothing of the
engine's lanes is here; read ``engine.py`` for those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psycopg

from store_service.engines.contract import Reader
from store_service.engines.errors import DatabaseUnusable
from store_service.engines.postgres import statements
from store_service.engines.postgres.connection import Patience, connect
from store_service.engines.postgres.migration import known_migrations, schema_version
from store_service.engines.postgres.reader import PostgresReader

T = TypeVar("T")

#: A snapshot of a large store is read for minutes; no single statement of it is.
_PATIENCE = Patience(idle_ms=600_000, statement_ms=600_000)


def read_database(url: str, name: str, query: Callable[[Reader], T]) -> T:
    """Run a query on one snapshot of a database; ``name`` is the database for people.

    Raises DatabaseUnusable when it cannot be reached, is not a store (ForeignDatabase), or has another schema.
    """
    try:
        session = connect(url, _PATIENCE, "holdfast audit")
    except psycopg.Error as error:
        raise DatabaseUnusable(name, f"database {name} cannot be opened: {error}".strip()) from error
    try:
        session.send(statements.BEGIN_READ)
        found, newest = schema_version(session, name), known_migrations()[-1].version
        if found < newest:
            raise DatabaseUnusable(
                name, f"database {name} has schema {found}, this version reads {newest}; start a store on it once"
            )
        return query(PostgresReader(session))
    except psycopg.Error as error:
        raise DatabaseUnusable(name, f"database {name} cannot be read: {error}".strip()) from error
    finally:
        session.close()
