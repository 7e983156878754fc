"""What `holdfast audit` asks of a database: is the file whole, does every run keep the laws; beside a store or without.

Owns the way from a database URL or a path to the sum of what was found. It only reads. The laws are in
``rules/audit.py``, the read-only file in ``engines/sqlite/inspection.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from store_service.engines import shown_url
from store_service.engines.contract import Reader
from store_service.engines.errors import DatabaseUnusable
from store_service.engines.sqlite.inspection import damages_of, read_file
from store_service.rules.audit import audit_runs
from store_service.rules.audit_rows import messages_of_queues

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql://", "postgres://")

#: Stands for the run id where no single run or queue is broken.
_THE_FILE: Final = "the file"


@dataclass(frozen=True, slots=True)
class StoreAudit:
    """How much was looked at, and (run id or queue, what is wrong) for every law that is broken."""

    store_id: str
    runs: int
    events: int
    findings: tuple[tuple[str, str], ...]


def audit_database(database: str) -> StoreAudit:
    """Audit a database, named by its URL (sqlite:///file.db, postgresql://…) or by the path of its file.

    Raises ValueError for a URL of something else, DatabaseUnusable for one that cannot be read as a store.
    """
    if database.startswith(_POSTGRES):
        return _audit_server(database)
    if "://" in database and not database.startswith(_SQLITE):
        expected = "expected sqlite:///file.db, postgresql://… or a path"
        raise ValueError(f"{shown_url(database)!r} is no database of a store; {expected}")
    path = database.removeprefix(_SQLITE)
    damages = tuple((_THE_FILE, text) for text in damages_of(path))
    try:
        found = read_file(path, _audit)
    except DatabaseUnusable:
        if not damages:
            raise
        found = StoreAudit("", 0, 0, ())
    return replace(found, findings=damages + found.findings)


def _audit_server(url: str) -> StoreAudit:
    # Imported here: who keeps a file needs no driver of PostgreSQL.
    from store_service.engines.postgres.inspection import read_database

    return read_database(url, shown_url(url), _audit)


def _audit(reader: Reader) -> StoreAudit:
    runs = events = 0
    findings: list[tuple[str, str]] = []
    for it in audit_runs(reader):
        runs, events = runs + 1, events + it.events
        findings.extend((it.run_id, finding) for finding in it.findings)
    findings.extend((f"queue {name}", text) for name, text in messages_of_queues(reader))
    return StoreAudit(reader.meta("store_id") or "", runs, events, tuple(findings))
