"""What `holdfast migrate` does: a whole store out of one database into another, verified before anybody sees it.

Owns the order: open both, copy table by table, read the target again and compare every row, audit its logs, and only
then let the target become visible. Everything goes: positions, request ids, receipts and leases too, which survive a
move as they survive a restart; so cursors stay true and whoever works under a lease goes on with it. It must never
change the source. Rows are read and written by ``engines/*/moving.py``, the laws are in ``rules/audit.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import tee
from typing import Final

from store_service.engines import shown_url
from store_service.engines.errors import DatabaseUnusable
from store_service.engines.moving import TABLES, Moved, MovedInto, Row, Table
from store_service.rules.audit import audit_runs

#: Findings that a refusal names; `holdfast audit` has them all.
_FINDINGS_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class Migration:
    """What was moved: the id that the store keeps, and how many rows of each table."""

    store_id: str
    source: str
    target: str
    rows: dict[str, int]


def migrate_database(source: str, target: str) -> Migration:
    """Move a store from one database to another, both named by URL, and return what was moved.

    All or nothing: when this raises, the target is as empty as it was. Stores on either database must be stopped; a
    store on a SQLite file is always noticed. Raises ValueError for a URL of nothing known, DatabaseUnusable
    for a database that cannot be used, a target that is not empty, or a copy that is not what was read.
    """
    open_source, open_target = _opened(source, "source"), _opened(target, "target")
    with open_source as taken, open_target as given:
        counts, numbers = {}, _Numbers()
        for table in TABLES:
            told, seen = _Digest(), _Digest()
            given.fill(table, told.of(numbers.of(table, taken.rows(table))))
            for _ in seen.of(given.rows(table)):
                pass
            if told.value != seen.value:
                raise DatabaseUnusable(
                    given.name, f"{given.name} keeps other {table.name} than it was given; not moved"
                )
            counts[table.name] = told.rows
        given.put_last_position(taken.last_position())
        _require_sound(taken, given)
        return Migration(given.reader.meta("store_id") or "", taken.name, given.name, counts)


class _Digest:
    """Rows as they pass: how many, and a digest of every byte of them."""

    def __init__(self) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()

    @property
    def value(self) -> tuple[int, bytes]:
        return self.rows, self._hash.digest()

    def of(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.rows += 1
            self._hash.update(repr(row).encode())
            yield row


def _require_sound(taken: Moved, given: Moved) -> None:
    if taken.last_position() != given.last_position():
        raise DatabaseUnusable(given.name, f"{given.name} does not keep the position of the newest event; not moved")
    findings = [f"{it.run_id}: {finding}" for it in audit_runs(given.reader) for finding in it.findings]
    if findings:
        told = "; ".join(findings[:_FINDINGS_TOLD])
        raise DatabaseUnusable(taken.name, f"{len(findings)} laws are broken in {taken.name} ({told}); not moved")


class _Numbers:
    """Makes numbers of messages and stream writers unique in the whole store, in the same order.

    Replicas number from their clocks, uniquely within a queue or stream; a file has one row for a number. Two that
    are alike are rare, and both must arrive: the later one moves up by one, and what stands there moves on.
    """

    def __init__(self) -> None:
        self._moved_writers: dict[tuple[int, int], int] = {}
        self._tables: dict[str, Callable[[Iterator[Row]], Iterator[Row]]] = {
            "messages": _unique,
            "stream_writers": self._unique_writers,
            "chunks": self._by_moved_writers,
        }

    def of(self, table: Table, rows: Iterator[Row]) -> Iterator[Row]:
        change = self._tables.get(table.name)
        return rows if change is None else change(rows)

    def _unique_writers(self, rows: Iterator[Row]) -> Iterator[Row]:
        before, after = tee(rows)
        for (old, stream, *_), row in zip(before, _unique(after), strict=True):
            if row[0] != old:
                self._moved_writers[stream, old] = row[0]
            yield row

    def _by_moved_writers(self, rows: Iterator[Row]) -> Iterator[Row]:
        for stream, index, writer, *rest in rows:
            yield (stream, index, self._moved_writers.get((stream, writer), writer), *rest)


def _unique(rows: Iterator[Row]) -> Iterator[Row]:
    last = 0
    for number, *rest in rows:
        last = max(number, last + 1)
        yield (last, *rest)


def _opened(url: str, role: str) -> AbstractContextManager[MovedInto]:
    scheme, separator, rest = url.partition("://")
    opener = _OPENERS.get(scheme) if separator else None
    if opener is None:
        raise ValueError(
            f"{shown_url(url)!r} names no database; use sqlite:///file.db or postgresql://user@host/database"
        )
    return opener(url, rest, role)


def _sqlite(url: str, rest: str, role: str) -> AbstractContextManager[MovedInto]:
    from store_service.engines.sqlite import moving

    path = rest.removeprefix("/")
    if path == rest or not path:
        raise ValueError(f"{shown_url(url)!r} names no file; use sqlite:///file.db or sqlite:////srv/file.db")
    return moving.target(path) if role == "target" else moving.source(path)


def _postgres(url: str, rest: str, role: str) -> AbstractContextManager[MovedInto]:
    # Imported here: who keeps a file needs no driver of PostgreSQL.
    try:
        from store_service.engines.postgres import moving
    except ImportError as error:
        raise ValueError(f"a postgresql:// URL needs the driver: pip install 'holdfast[postgres]' ({error})") from error
    return moving.target(url) if role == "target" else moving.source(url)


_OPENERS: Final[dict[str, Callable[[str, str, str], AbstractContextManager[MovedInto]]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgres,
    "postgres": _postgres,
}
