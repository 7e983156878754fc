"""Reading: a query on one snapshot, tried again on a new connection when the old one was lost.

Owns the read transaction. REPEATABLE READ: every statement of a query sees the same moment, one that includes each
write acknowledged before. It writes nothing and takes no lock, so trying again is always right. Limits as in
``retry.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from store_service.engines.contract import Reader
from store_service.engines.postgres import failures, statements
from store_service.engines.postgres.connection import Session
from store_service.engines.postgres.failures import Failure, failure_of
from store_service.engines.postgres.lane import Line
from store_service.engines.postgres.reader import PostgresReader
from store_service.engines.postgres.retry import RECONNECT_MS, TRIES_ALONE, Tries
from store_service.engines.waiting import carriable

T = TypeVar("T")


def read_surely(line: Line, query: Callable[[Reader], T]) -> T:
    """Run a query. Raises what the query raises; Refusal NOT_READY when the database is away too long."""
    tries = Tries()
    while True:
        try:
            return _read(line.session(), query)
        except psycopg.Error as error:
            if failure_of(error) is Failure.BUG:
                raise
            if failure_of(error) is Failure.CONFLICT and tries.conflicts < TRIES_ALONE:
                tries.pause_after_conflict()
                continue
            line.drop()
            if tries.is_away_too_long():
                raise failures.not_reached(error) from error
            time.sleep(RECONNECT_MS / 1000)


def _read(session: Session, query: Callable[[Reader], T]) -> T:
    try:
        with session.pipeline():
            session.send(statements.BEGIN_READ)
            value = query(PostgresReader(session))
            session.send(statements.COMMIT)
        return value
    except BaseException as error:
        if not session.is_lost:
            session.rest()
        carried = carriable(error)
        if carried is not error:
            raise carried from error
        raise
