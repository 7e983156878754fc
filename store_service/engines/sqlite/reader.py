"""Reads of one snapshot: the ``Reader`` of the contract on a session of SQLite.

Owns what SQLite reads in its own way: positions, which are numbers of rows, and chunks, row by row. The rest is in
``engines/sql/reader.py``. It begins no transaction (``engine.py`` does for reads, ``commit.py`` for writes) and must
never write. Read next: ``transaction.py``.
"""

from __future__ import annotations

from store_service.engines.contract import EventRow
from store_service.engines.sql import columns
from store_service.engines.sql.reader import SqlReader
from store_service.engines.sqlite import statements
from store_service.engines.sqlite.connection import Session
from store_service.engines.stream_contract import ChunkRow


class SqliteReader(SqlReader[Session]):
    """``contract.Reader`` on SQLite."""

    __slots__ = ()

    _sql = statements.COMMON

    def all_events(self, *, after_position: int, limit: int) -> list[tuple[int, EventRow]]:
        found = self._session.all(statements.ALL_EVENTS, (after_position, limit))
        return [(values[0], columns.event_row(values[1:])) for values in found]

    def last_position(self) -> int:
        return self._session.scalar(statements.LAST_POSITION) or 0

    def chunks(self, stream: int, *, from_index: int, limit: int, bytes_max: int) -> list[ChunkRow]:
        found: list[ChunkRow] = []
        size = 0
        # Row by row: what lies beyond the bytes asked for is never read.
        for values in self._session.execute(statements.CHUNKS, (stream, from_index, limit)):
            found.append(ChunkRow(*values))
            size += len(found[-1].data)
            if size >= bytes_max:
                break
        return found
