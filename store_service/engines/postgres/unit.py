"""The life of one unit of work inside a batch: what it knows, what it has yet to write, and how it leaves no trace.

Owns the unit's known rows on top of the batch's, its pending writes, its savepoint, and the lock of a run, which every
read of the run's rows comes after. It must never begin or commit: ``commit.py`` does. What is read and written is in
the classes above it: ``transaction.py`` (logs) next, ``queue_transaction.py``, ``stream_transaction.py``.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from typing import Any, TypeVar

from store_service.engines.contract import Note, RunRow
from store_service.engines.postgres import statements
from store_service.engines.postgres.batch import UNKNOWN, Batch, Key, Writes
from store_service.engines.postgres.reader import PostgresReader
from store_service.engines.sql import columns

T = TypeVar("T")


class UnitOfWork(PostgresReader):
    """A unit between its start and `keep` or `undo`. Base of the whole transaction."""

    __slots__ = ("_batch", "_has_savepoint", "_is_forgetful", "_known", "_replaced", "_writes", "notes")

    def __init__(self, batch: Batch) -> None:
        super().__init__(batch.session)
        self._batch = batch
        self._known: ChainMap[Key, Any] = ChainMap({}, batch.known)
        self._writes = Writes()
        self._has_savepoint = False
        self._is_forgetful = False
        #: Events of units before that were placed after this one's savepoint.
        self._replaced: list[tuple[str, int, int]] = []
        self.notes: list[Note] = []

    # --- the life of a unit, for commit.py ------------------------------------------------------------------------

    def keep(self) -> None:
        """Hand to the batch what the unit wrote and knows."""
        if self._has_savepoint:
            self._session.send(statements.RELEASE)
        if self._is_forgetful:
            self._batch.known.clear()
        self._batch.known.update(self._known.maps[0])
        self._batch.writes.extend(self._writes)
        self._batch.notes += self.notes

    def undo(self) -> None:
        """Leave no trace of the unit. What it knew goes too: it may have been read under locks that are gone."""
        if self._has_savepoint:
            self._session.send(statements.ROLLBACK_TO)
            self._session.send(statements.RELEASE)
            self._batch.held_groups.clear()
            self._batch.writes.placed[:0] = self._replaced

    def _flush(self) -> None:
        """Send what waits to be written, so that the next read sees it."""
        if not self._has_savepoint:
            self._batch.send_pending()
        if self._writes.statements:
            self._savepoint()
            sent, self._writes = self._writes, Writes(placed=self._writes.placed)
            self._batch.send(sent)

    # --- known rows -----------------------------------------------------------------------------------------------

    def _get(self, key: Key, read: Callable[[], T]) -> T:
        known = self._known.get(key, UNKNOWN)
        if known is UNKNOWN:
            known = self._known[key] = read()
        return known  # type: ignore[no-any-return]

    def _hold(self, run_id: str) -> RunRow | None:
        """Lock a run and return it. Everything that is the run's is read after this."""
        return self._get(("run", run_id), lambda: self._read_held_run(run_id))

    def _read_held_run(self, run_id: str) -> RunRow | None:
        found = self._session.one(statements.HOLD_RUN, (run_id,))
        return None if found is None else columns.run_row(found)

    def _settle(self, run_id: str) -> None:
        """Lock a run and send what was written of it, before a list of its rows is read."""
        self._hold(run_id)
        if run_id in self._writes.runs or run_id in self._batch.writes.runs:
            self._flush()

    def _insert_or_put(self, key: Key, insert: str, put: str) -> str:
        return insert if self._known.get(key, UNKNOWN) is None else put

    def note(self, note: Note) -> None:
        self.notes.append(note)

    def _place(self) -> None:
        """Give every event so far its position, because one of them is asked for before the commit."""
        if not self._has_savepoint:
            self._batch.place(self._batch.writes)
            self._savepoint()
        self._replaced += self._batch.place(self._batch.writes)
        self._batch.place(self._writes)

    def _savepoint(self) -> None:
        if not self._has_savepoint:
            self._session.send(statements.SAVEPOINT)
            self._has_savepoint = True
