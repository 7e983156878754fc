"""A PostgreSQL database as the source or the target of `holdfast migrate`.

Owns both ways: a source is read in one snapshot, a target is filled, verified and made visible in one transaction, so
an interrupted move leaves it as empty as it was. Stores must be stopped; those that are seen are named in a refusal.
It must never write where rows are. Positions are kept apart from events here, see ``migrations/0001_initial.sql``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

import psycopg

from store_service.engines.errors import DatabaseUnusable
from store_service.engines.moving import TABLES, Row, Table, quoted
from store_service.engines.postgres import statements
from store_service.engines.postgres.connection import Patience, Session, connect
from store_service.engines.postgres.engine import without_password
from store_service.engines.postgres.migration import known_migrations, migrate, schema_version
from store_service.engines.postgres.reader import PostgresReader
from store_service.engines.sql import columns as columns_of

#: Rows that are fetched at a time, and events that are copied at a time, whose placements are made from them.
_ROWS_AT_ONCE: Final = 500
#: A move takes as long as it takes (0: no limit), but waits for no other process.
_PATIENCE: Final = Patience(lock_ms=5_000, statement_ms=0, idle_ms=0)
_LOOKS_MAX: Final = 15
_LOOK_AGAIN_S: Final = 0.1
_NAME: Final = "holdfast migrate"

#: A hint, not a lock: an application_name in the URL replaces it, and other databases may not know the view.
_OTHERS: Final = """
SELECT count(DISTINCT application_name) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'holdfast %%'
  AND application_name <> 'holdfast audit' AND pid <> pg_backend_pid()
"""
_HOLD_LOG: Final = "SELECT position, number FROM counters WHERE name = 'log' FOR UPDATE"
_PUT_POSITION: Final = "UPDATE counters SET position = %s WHERE name = 'log'"
_PLACEMENT: Final = ("run_id", "first_seq", "last_seq", "position")
_MAKE_GROUPS: Final = """
INSERT INTO groups (queue, "group", changes) SELECT DISTINCT queue, "group", 1 FROM messages WHERE "group" <> ''
"""
_EVENTS: Final = f"""
SELECT p.position - p.last_seq + e.seq, {", ".join(f"e.{name.strip()}" for name in columns_of.EVENT.split(","))}
FROM placements p JOIN events e ON e.run_id = p.run_id AND e.seq BETWEEN p.first_seq AND p.last_seq
ORDER BY p.position, e.seq
"""


class PostgresMoved:
    """``engines.moving.Moved`` and ``MovedInto`` in a transaction of a session."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.reader = PostgresReader(session)
        self._session = session

    def rows(self, table: Table) -> Iterator[Row]:
        text = f"SELECT {quoted(table.columns)} FROM {table.name} ORDER BY {quoted(table.order)}"
        found = self._cursor(f"moved_{table.name}", _EVENTS if table.name == "events" else text)
        return map(_with_words, found) if table.name == "messages" else found

    def last_position(self) -> int:
        return self.reader.last_position()

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        _FILLS.get(table.name, PostgresMoved._insert)(self, table, rows)

    def put_last_position(self, position: int) -> None:
        self._session.send(_PUT_POSITION, (position,))

    def _cursor(self, name: str, text: str) -> Iterator[Row]:
        self._session.send(f"DECLARE {name} NO SCROLL CURSOR FOR {text}")
        while page := self._session.all(f"FETCH {_ROWS_AT_ONCE} FROM {name}"):
            yield from page
        self._session.send(f"CLOSE {name}")

    def _insert(self, table: Table, rows: Iterable[Row]) -> None:
        self._copy(table.name, table.columns, rows)

    def _copy(self, table: str, columns: Iterable[str], rows: Iterable[Row]) -> None:
        self._session.copy(f"COPY {table} ({quoted(columns)}) FROM STDIN", rows)

    def _fill_meta(self, table: Table, rows: Iterable[Row]) -> None:
        self._session.send("DELETE FROM meta")
        self._insert(table, rows)

    def _fill_events(self, table: Table, rows: Iterable[Row]) -> None:
        left = iter(rows)
        while page := list(islice(left, _ROWS_AT_ONCE)):
            self._copy("events", table.columns[1:], (event[1:] for event in page))
            self._copy("placements", _PLACEMENT, _placements(page))

    def _fill_messages(self, table: Table, rows: Iterable[Row]) -> None:
        # Nobody is about to send under the same key: what is_unseen guards against cannot happen here.
        unseen = ((*_with_bytes(row), False) for row in rows)
        self._copy("messages", (*table.columns, "is_unseen"), unseen)
        self._session.send(_MAKE_GROUPS)


_FILLS: Final = {
    "meta": PostgresMoved._fill_meta,
    "events": PostgresMoved._fill_events,
    "messages": PostgresMoved._fill_messages,
}
_LAST_REASON: Final = next(table for table in TABLES if table.name == "messages").place("last_reason")


def _placements(events: Iterable[Row]) -> list[Row]:
    """Say where events lie. Those of a run that follow each other in both numbers share a placement."""
    placed: list[Row] = []
    for position, run_id, seq, *_ in events:
        if placed and (placed[-1][0], *placed[-1][2:]) == (run_id, seq - 1, position - 1):
            placed[-1] = (*placed[-1][:2], seq, position)
        else:
            placed.append((run_id, seq, seq, position))
    return placed


def _with_words(row: Row) -> Row:
    return (*row[:_LAST_REASON], row[_LAST_REASON].decode(), *row[_LAST_REASON + 1 :])


def _with_bytes(row: Row) -> Row:
    return (*row[:_LAST_REASON], row[_LAST_REASON].encode(), *row[_LAST_REASON + 1 :])


@contextmanager
def source(url: str) -> Iterator[PostgresMoved]:
    """Open a database to move it away, in one snapshot.

    Raises DatabaseUnusable when it is none of ours, of another version, or when a store is seen at work in it.
    """
    with _session(url) as (session, name):
        if (found := schema_version(session, name)) < (newest := known_migrations()[-1].version):
            raise DatabaseUnusable(
                name, f"database {name} has schema {found}, this version reads {newest}; start a store on it once"
            )
        session.send(statements.BEGIN_READ)
        yield PostgresMoved(name, session)


@contextmanager
def target(url: str) -> Iterator[PostgresMoved]:
    """Fill an empty database; all of it is there once the block has ended without an error, and else nothing.

    Raises DatabaseUnusable when it has rows, is none of ours, or when a store is seen at work in it.
    """
    with _session(url) as (session, name):
        migrate(session, name)
        session.send(statements.BEGIN)
        # The lock that every commit takes: from here on no store adds anything.
        position, _ = session.one(_HOLD_LOG)
        full = [table.name for table in TABLES if table.name != "meta" and _has_rows(session, table)]
        if position or full:
            what = ", ".join(full) or "positions that were given"
            raise DatabaseUnusable(name, f"database {name} is not empty ({what}); a store is moved into an empty one")
        yield PostgresMoved(name, session)
        session.send(statements.COMMIT)


def _has_rows(session: Session, table: Table) -> bool:
    return session.one(f"SELECT 1 FROM {table.name} LIMIT 1") is not None


@contextmanager
def _session(url: str) -> Iterator[tuple[Session, str]]:
    name = without_password(url)
    session: Session | None = None
    try:
        session = connect(url, _PATIENCE, _NAME)
        if stores := _others(session):
            raise DatabaseUnusable(name, f"stores are at work on {name} (seen: {stores}); stop them, then move it")
        yield session, name
    except psycopg.Error as error:
        raise DatabaseUnusable(name, f"database {name} cannot be used: {error}".strip()) from error
    finally:
        if session is not None:
            session.close()


def _others(session: Session) -> int:
    """Count the stores at work. The server takes a moment to see that one is gone, so it is asked again."""
    try:
        for left in reversed(range(_LOOKS_MAX)):
            found: int = session.scalar(_OTHERS) or 0
            if not found or not left:
                return found
            time.sleep(_LOOK_AGAIN_S)
    except psycopg.Error:
        session.rest()
    return 0
