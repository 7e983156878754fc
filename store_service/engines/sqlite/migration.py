"""Numbered migrations: forward only, embedded, each in one transaction.

Owns the step from any older schema, an empty file included, to the newest one. It must never touch a file that is
not ours or is newer: both are found out before the first write. ``migrations/NNNN_name.sql`` is never edited
once released; a change is a new number. The random ``store_id`` is made with the first table.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from typing import Final

from store_service import checksum
from store_service.engines.migrations import Migration, embedded_in
from store_service.engines.sqlite.connection import Session
from store_service.engines.sqlite.errors import ForeignDatabase, SchemaTooNew

#: "hold" in ASCII, in the header of every database of ours.
APPLICATION_ID = 0x686F6C64

_CREATE_LEDGER = """
CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY CHECK (version >= 1), name TEXT NOT NULL) STRICT
"""


def known_migrations() -> list[Migration]:
    """Return the embedded migrations in order."""
    return embedded_in(__package__)


def schema_version(session: Session, path: str) -> int:
    """Return the schema of the file, 0 for an empty one. Raises ForeignDatabase or SchemaTooNew; never writes."""
    try:
        application_id = session.scalar("PRAGMA application_id")
        tables = session.scalar("SELECT count(*) FROM sqlite_schema")
    except sqlite3.DatabaseError as exc:
        raise ForeignDatabase(path, str(exc)) from exc
    if application_id == 0 and tables == 0:
        return 0
    if application_id != APPLICATION_ID:
        raise ForeignDatabase(path, f"application_id {application_id}, {tables} tables and indexes")
    found: int = session.scalar("SELECT max(version) FROM schema_migrations")
    newest = known_migrations()[-1].version
    if found > newest:
        raise SchemaTooNew(path, found, newest)
    return found


def migrate(session: Session, found: int) -> None:
    """Bring a file from schema ``found`` to the newest one. A crash leaves it at a whole number."""
    for migration in known_migrations():
        if migration.version > found:
            _apply(session, migration)


def _apply(session: Session, migration: Migration) -> None:
    session.execute("BEGIN IMMEDIATE")
    try:
        if migration.version == 1:
            session.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            session.execute(_CREATE_LEDGER)
        for statement in _statements(migration.sql):
            session.execute(statement)
        if migration.version in _FILLS:
            _FILLS[migration.version](session)
        if migration.version == 1:
            session.execute("INSERT INTO meta (key, value) VALUES ('store_id', ?)", (secrets.token_hex(16),))
        session.execute(
            "INSERT INTO schema_migrations (version, name) VALUES (?, ?)", (migration.version, migration.name)
        )
        session.execute("COMMIT")
    except BaseException:
        if session.in_transaction:
            session.execute("ROLLBACK")
        raise


def _chain_events(session: Session) -> None:
    """Give the events of before their checksums, run by run, and each run its newest."""
    for (run_id,) in session.all("SELECT run_id FROM runs"):
        newest = checksum.FIRST
        found = session.execute("SELECT position, at, body FROM events WHERE run_id = ? ORDER BY seq", (run_id,))
        for position, at, body in found:
            chained = checksum.chained(newest, at, body)
            session.execute("UPDATE events SET checksum = ? WHERE position = ?", (chained, position))
            newest = checksum.own(chained)
        session.execute("UPDATE runs SET head_checksum = ? WHERE run_id = ?", (newest, run_id))


#: What SQL cannot compute, by the number of the migration that it belongs to.
_FILLS: Final[dict[int, Callable[[Session], None]]] = {3: _chain_events}


def _statements(sql: str) -> Iterator[str]:
    # Not executescript(): it commits first, and a migration must be one transaction.
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
