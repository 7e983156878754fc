"""Numbered migrations: forward only, embedded, each in one transaction, by one replica at a time.

Owns the step from any older schema, an empty one included, to the newest. Many replicas may start at once: whoever
holds the row of ``schema_lock`` migrates, the others wait for it and then find nothing left to do. It must never touch
a schema that is not ours or is newer: both are found out before the first write. ``migrations/NNNN_name.sql`` is never
edited once released; a change is a new number. The random ``store_id`` is made with the first table.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

import psycopg

from store_service.engines.errors import DatabaseUnusable, ForeignDatabase, SchemaTooNew
from store_service.engines.migrations import Migration, embedded_in
from store_service.engines.postgres.connection import Session
from store_service.engines.postgres.failures import Failure, failure_of

#: Tries of a replica that loses races for the very first tables against others that start at the same moment.
TRIES_MAX: Final = 40
_PAUSE_MS: Final = 100

_TABLES: Final = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
_CREATE_LOCK: Final = "CREATE TABLE IF NOT EXISTS schema_lock (name TEXT PRIMARY KEY)"
_FILL_LOCK: Final = "INSERT INTO schema_lock (name) VALUES ('schema') ON CONFLICT (name) DO NOTHING"
_HOLD_LOCK: Final = "SELECT name FROM schema_lock WHERE name = 'schema' FOR UPDATE"
_CREATE_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY CHECK (version >= 1), name TEXT NOT NULL)
"""
_VERSION: Final = "SELECT max(version) FROM schema_migrations"
_REMEMBER: Final = "INSERT INTO schema_migrations (version, name) VALUES (%s, %s)"
_STORE_ID: Final = "INSERT INTO meta (key, value) VALUES ('store_id', %s)"
_OURS: Final = frozenset({"schema_lock", "schema_migrations"})


def known_migrations() -> list[Migration]:
    """Return the embedded migrations in order."""
    return embedded_in(__package__)


def migrate(session: Session, name: str) -> None:
    """Bring the schema of a session to the newest one; ``name`` is the database for people.

    Raises ForeignDatabase, SchemaTooNew, DatabaseUnusable. A crash leaves it at a whole number.
    """
    for left in reversed(range(TRIES_MAX)):
        try:
            if schema_version(session, name) < known_migrations()[-1].version:
                _migrate(session, name)
            return
        except psycopg.Error as error:
            # Two replicas that create the same table at once: PostgreSQL lets one of them fail.
            session.rest()
            if not left or failure_of(error) is Failure.LOST:
                raise DatabaseUnusable(name, f"database {name} cannot be migrated: {error}") from error
            time.sleep(_PAUSE_MS / 1000)


def schema_version(session: Session, name: str) -> int:
    """Return the schema of the database, 0 for an empty one. Raises ForeignDatabase or SchemaTooNew; never writes."""
    tables = {table for (table,) in session.all(_TABLES)}
    if not tables - _OURS:
        return 0
    if "schema_migrations" not in tables or "schema_lock" not in tables:
        raise ForeignDatabase(name, f"{len(tables)} tables in its schema, none of them ours")
    found: int = session.scalar(_VERSION) or 0
    newest = known_migrations()[-1].version
    if found > newest:
        raise SchemaTooNew(name, found, newest)
    return found


def _migrate(session: Session, name: str) -> None:
    for text in (_CREATE_LOCK, _FILL_LOCK, _CREATE_LEDGER):
        session.send(text)
    for migration in known_migrations():
        _apply(session, migration, name)


def _apply(session: Session, migration: Migration, name: str) -> None:
    session.send("BEGIN")
    session.send(_HOLD_LOCK)
    if (session.scalar(_VERSION) or 0) < migration.version:
        session.run_script(migration.sql)
        if migration.version == 1:
            session.send(_STORE_ID, (secrets.token_hex(16),))
        session.send(_REMEMBER, (migration.version, migration.name))
    session.send("COMMIT")
