"""Group commit: many units of work, one durable commit.

Runs on the writer's thread, in one crossing per batch. Each of several units runs inside a savepoint, so that one that
raises leaves no trace and disturbs nobody; then one COMMIT makes the rest durable together. What SQLite itself cannot
do (disk full, I/O error, locked by another process) ends the whole batch: nothing of it is written, and the
sqlite3.Error goes to every caller as the refusal of ``refusal_of``. Read next: ``engine.py``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.refusal import Refusal
from store_service.engines.contract import Transaction
from store_service.engines.sqlite.connection import Session
from store_service.engines.sqlite.transaction import SqliteTransaction
from store_service.engines.waiting import Outcome, carriable

Unit = Callable[[Transaction], Any]

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
#: After one of these the state of the file behind this handle is not known: a failed fsync drops the pages it could
#: not write, and a second fsync reports success.
_BROKEN = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN})
#: Errors of the database, not of the unit that met them.
_ENDS_BATCH = _BUSY | _BROKEN | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY}


def commit_together(session: Session, units: Sequence[Unit]) -> list[Outcome]:
    """Run the units in order and commit them at once; returns after the commit is durable, one outcome a unit.

    Raises sqlite3.Error when the batch could not be committed: then nothing of any unit was written.
    """
    session.execute("BEGIN IMMEDIATE")
    try:
        if len(units) == 1:
            return [_run_alone(session, units[0])]
        outcomes = [_run(session, unit) for unit in units]
        session.execute("COMMIT")
    except BaseException:
        if session.in_transaction:
            session.execute("ROLLBACK")
        raise
    return outcomes


def _run_alone(session: Session, unit: Unit) -> Outcome:
    """Run the only unit of a batch: its rollback is that of the transaction, so it needs no savepoint."""
    transaction = SqliteTransaction(session)
    try:
        value = unit(transaction)
    except BaseException as exc:
        if _primary_code(exc) in _ENDS_BATCH:
            raise
        session.execute("ROLLBACK")
        return Outcome(error=carriable(exc))
    session.execute("COMMIT")
    return Outcome(value=value, notes=transaction.notes)


def _run(session: Session, unit: Unit) -> Outcome:
    transaction = SqliteTransaction(session)
    session.execute("SAVEPOINT unit")
    try:
        value = unit(transaction)
    except BaseException as exc:
        if _primary_code(exc) in _ENDS_BATCH:
            raise
        session.execute("ROLLBACK TO unit")
        session.execute("RELEASE unit")
        return Outcome(error=carriable(exc))
    session.execute("RELEASE unit")
    return Outcome(value=value, notes=transaction.notes)


def is_broken_by(error: BaseException) -> bool:
    """Return whether the handle must not be written to again after this error."""
    return _primary_code(error) in _BROKEN


def refusal_of(error: sqlite3.Error) -> Refusal:
    """Return what every caller of a batch that was not committed is told."""
    if _primary_code(error) in _BUSY:
        return Refusal("WRITE_CONFLICT", f"the database is locked by another process ({error}); nothing was written")
    return Refusal("NOT_READY", f"the database could not commit ({error}); nothing was acknowledged")


def _primary_code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
