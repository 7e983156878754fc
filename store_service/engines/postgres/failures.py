"""What went wrong, by SQLSTATE: a conflict, a lost connection, or a bug. And what a caller is told.

Owns the one table from SQLSTATE to a kind of failure. A conflict (serialization, deadlock, a lock that was not had in
time, a row that another replica inserted first) is tried again; a lost server is connected to again; everything else
belongs to the unit that met it. Codes: PostgreSQL manual, appendix A.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import psycopg

from holdfast.refusal import Refusal


class Failure(Enum):
    """How to go on after an error of the database."""

    CONFLICT = 1
    LOST = 2
    BUG = 3


_CONFLICTS: Final = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available: lock_timeout
        "57014",  # query_canceled: statement_timeout
    }
)
_LOST: Final = frozenset(
    {
        "40003",  # statement_completion_unknown: a commit whose outcome the server does not know
        "25P03",  # idle_in_transaction_session_timeout: this process stood still
        "25006",  # read_only_sql_transaction: a primary that is one no longer
        "57P01",  # admin_shutdown, also pg_terminate_backend
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P05",  # idle_session_timeout
        "53300",  # too_many_connections
    }
)
#: Keys that a unit found free and that another replica took first: on another try the unit finds them taken.
_RACED_FOR: Final = frozenset(
    {
        "meta_pkey",
        "runs_pkey",
        "tokens_pkey",
        "requests_pkey",
        "messages_pkey",
        "messages_unseen_key",
        "streams_pkey",
        "streams_by_number",
        "stream_writers_pkey",
        "stream_writers_by_number",
    }
)

#: When a caller may try again whose write met conflicts, or no database.
RETRY_AFTER_MS: Final = 200


def failure_of(error: BaseException) -> Failure:
    """Return how to go on after an error that a statement raised."""
    if not isinstance(error, psycopg.Error):
        return Failure.BUG
    code = error.sqlstate or ""
    if code in _CONFLICTS or (code == "23505" and error.diag.constraint_name in _RACED_FOR):
        return Failure.CONFLICT
    # An error without a code is the driver's own: the connection broke.
    if code in _LOST or code.startswith("08") or (not code and isinstance(error, psycopg.OperationalError)):
        return Failure.LOST
    return Failure.BUG


def conflict(error: BaseException) -> Refusal:
    """Build the refusal of a write that met conflicts on every try."""
    return Refusal(
        "WRITE_CONFLICT",
        f"other writers were in the way on every try ({_short(error)}); nothing was written",
        retry_after_ms=RETRY_AFTER_MS,
    )


def not_reached(error: BaseException) -> Refusal:
    """Build the refusal of a call that found no database. Nothing was written."""
    return Refusal(
        "NOT_READY",
        f"the database cannot be reached ({_short(error)}); nothing was written",
        retry_after_ms=RETRY_AFTER_MS,
    )


def outcome_unknown(error: BaseException) -> Refusal:
    """Build the refusal of a write whose commit was under way when the database was lost for good."""
    return Refusal(
        "NOT_READY",
        f"the database was lost during the commit ({_short(error)}): whether it was written is not known; "
        "repeat it with the same request_id, or read the log",
        retry_after_ms=RETRY_AFTER_MS,
    )


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
