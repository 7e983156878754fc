"""The SQLite engine on a disk that keeps a journal: a VFS under the real statements, rules and group commit.

Owns the VFS (apsw, for tests only), which hands every write, truncation, creation, deletion and sync of the database
and its WAL to a `Disk`, and a `Session` on it, so that ``commit_together`` and all that is above it run unchanged. A
Python VFS has no shared memory, so the connection holds its file exclusively; what is written and when it is synced
is the same. After each commit `Recorded.states` notes what the database holds. Read ``workload.py`` for what is
written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

from store_service.engines.contract import Transaction
from store_service.engines.sqlite.commit import commit_together
from store_service.engines.sqlite.connection import Session, make_writer
from store_service.engines.sqlite.migration import migrate
from tests.power.disk import Create, Delete, Sync, Truncate, Write

Unit = Callable[[Transaction], Any]
Operation = Write | Truncate | Create | Delete | Sync

_JOURNALS: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL

#: Tables of the store, for its digest; sqlite_sequence has the positions that must not be given twice.
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"


@dataclass(slots=True)
class Recorded:
    """The journal; the digest of the database after each commit, and the place in the journal where it was told."""

    journal: list[Operation] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    told_at: list[int] = field(default_factory=list)

    def tell(self, digest: str) -> None:
        """Note a commit whose caller has been answered."""
        self.states.append(digest)
        self.told_at.append(len(self.journal))

    def acknowledged(self, place: int) -> int:
        """Return how many commits had been told before this place of the journal."""
        return sum(at <= place for at in self.told_at)


class Recorder:
    """A database being written. ``synchronous`` other than FULL is for breaking the promise."""

    def __init__(self, path: Path, checkpoint_pages: int, synchronous: str = "FULL") -> None:
        self.recorded = Recorded()
        self._vfs = _JournalVFS(f"journal-{id(self)}", self.recorded.journal)
        self._connection = apsw.Connection(str(path), vfs=self._vfs.name)
        self.session = Session(_Connection(self._connection))  # type: ignore[arg-type]
        self.session.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        make_writer(self.session)
        self.session.execute(f"PRAGMA synchronous = {synchronous}")
        self._connection.wal_autocheckpoint(checkpoint_pages)
        migrate(self.session, 0)
        self.recorded.tell(digest(self.session))

    def commit(self, *units: Unit) -> list[Any]:
        """Commit units together and note what the database holds then. Raises what a unit raised."""
        outcomes = commit_together(self.session, units)
        self.recorded.tell(digest(self.session))
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        return [outcome.value for outcome in outcomes]

    def checkpoint(self) -> None:
        """What the engine does last."""
        self.session.all("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self._connection.close()
        self._vfs.unregister()


@contextmanager
def recording(path: Path, checkpoint_pages: int, synchronous: str = "FULL") -> Iterator[Recorder]:
    """Open a new database on a journaling disk."""
    recorder = Recorder(path, checkpoint_pages, synchronous)
    try:
        yield recorder
    finally:
        recorder.close()


def digest(session: Session, queries: Sequence[str] = ()) -> str:
    """Return a digest of the rows of these queries; none given: of every row of every table."""
    found = hashlib.blake2b(digest_size=16)
    for query in queries or [f'SELECT * FROM "{name}"' for (name,) in session.all(_TABLES)]:
        for row in sorted(repr(tuple(row)) for row in session.all(query)):
            found.update(row.encode())
    return found.hexdigest()


class _JournalVFS(apsw.VFS):
    def __init__(self, name: str, journal: list[Operation]) -> None:
        self.name = name
        self.journal = journal
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return _JournalFile(self.journal, path, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        super().xDelete(name, syncdir)
        self.journal.append(Delete(_short(name)))


class _JournalFile(apsw.VFSFile):
    def __init__(self, journal: list[Operation], path: str | None, name: Any, flags: list[int]) -> None:
        self._journal = journal
        self._file = _short(path)
        is_new = path is not None and not Path(path).exists()
        # SQLite's own VFS syncs the directory with the first sync of a new journal or WAL.
        self._syncs_names = is_new and bool(flags[0] & _JOURNALS)
        super().__init__("", name, flags)
        if is_new:
            journal.append(Create(self._file))

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._journal.append(Write(self._file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._journal.append(Truncate(self._file, newsize))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._journal.append(Sync(self._file, self._syncs_names))
        self._syncs_names = False


def _short(path: str | None) -> str:
    return Path(path).name if path else ""


class _Cursor:
    """A cursor of apsw that answers as one of sqlite3 does, as far as the engine asks."""

    def __init__(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        self.lastrowid = connection.last_insert_rowid()
        self.rowcount = connection.changes()
        self._cursor = cursor

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return list(self._cursor.fetchall())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class _Connection:
    """A connection of apsw that answers as one of sqlite3 does, as far as `Session` asks."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> _Cursor:
        return _Cursor(self._connection, self._connection.execute(sql, parameters))

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction
