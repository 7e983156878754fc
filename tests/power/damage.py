"""A damaged database file: what readers get from it, and what the audit finds.

Owns a small store's file and the comparison of what a damaged copy gives with what was written. A log that is read must
be the log that was written or an error; whatever differs in a table of `TABLES` must be a finding of the audit.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from holdfast.refusal import Refusal
from holdfast.v1 import store_service_pb2
from store_service.auditing import audit_database
from store_service.engines.sql import columns
from store_service.engines.sqlite import open_sqlite
from store_service.engines.sqlite.connection import Session
from store_service.engines.sqlite.errors import DatabaseUnusable
from store_service.engines.sqlite.reader import SqliteReader
from store_service.rules import reading
from tests.power.recording import digest
from tests.power.workload import batches

T = TypeVar("T")

RUNS = 6

#: Tables whose every row can be checked: against itself, or against the logs.
TABLES = (
    "SELECT * FROM attributes",
    f"SELECT {columns.ENTITY} FROM entities",
    "SELECT * FROM events",
    "SELECT * FROM runs",
    "SELECT * FROM tokens",
)

#: UnicodeDecodeError: SQLite quotes what it found, and sqlite3 decodes that strictly.
UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)

#: What a reader may be told of a damaged file.
ERRORS = frozenset(("CORRUPT_LOG", "RUN_NOT_FOUND"))


async def write_file(path: Path, seed: int) -> bytes:
    """Write a small store with everything in it; returns its file, closed in good order."""
    engine = await open_sqlite(str(path))
    for units in batches(RUNS, random.Random(seed)):
        for unit in units:
            await engine.write(unit)
    await engine.close()
    return await asyncio.to_thread(path.read_bytes)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one file gives. ``logs``: by run id, the serialized log or the reason why not; ``digest`` of `TABLES`."""

    logs: dict[str, bytes | str]
    digest: str
    findings: list[str]


def look(path: Path) -> Seen:
    """Read every log, digest every table and audit, as processes of their own would."""
    logs = {f"run_{number}": _read(path, f"run_{number}") for number in range(1, RUNS)}
    return Seen(logs, _told(lambda: _with_session(path, partial(digest, queries=TABLES))), _audit(path))


def silently_wrong(seen: Seen, truth: Seen) -> list[str]:
    """Return the logs that were read as if they were whole, and are not what was written."""
    wrong = [run_id for run_id, log in seen.logs.items() if isinstance(log, bytes) and log != truth.logs[run_id]]
    unknown = [
        log for log in seen.logs.values() if isinstance(log, str) and log not in ERRORS and "database" not in log
    ]
    return wrong + unknown


def _read(path: Path, run_id: str) -> bytes | str:
    request = store_service_pb2.ListEventsRequest(run_id=run_id)

    def read(session: Session) -> bytes:
        return reading.list_events(SqliteReader(session), request).SerializeToString(deterministic=True)

    try:
        return _with_session(path, read)
    except Refusal as refusal:
        return refusal.reason
    except UNREADABLE as error:
        return f"database: {error}"


def _with_session(path: Path, read: Callable[[Session], T]) -> T:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return read(Session(connection))
    finally:
        connection.close()


def _told(call: Callable[[], str]) -> str:
    try:
        return call()
    except UNREADABLE as error:
        return f"database: {error}"


def _audit(path: Path) -> list[str]:
    try:
        return [f"{run_id}: {text}" for run_id, text in audit_database(str(path)).findings]
    except DatabaseUnusable as error:
        return [str(error)]
