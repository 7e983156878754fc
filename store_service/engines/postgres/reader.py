"""Reads of one snapshot: the ``Reader`` of the contract on a session of PostgreSQL.

Owns what PostgreSQL reads in its own way: positions, which lie in a table of their own, chunks, whose sizes are asked
first, and text that may hold a NUL, which is stored as bytes. The rest is in ``engines/sql/reader.py``. It begins no
transaction (``reading.py`` does, or ``commit.py`` for writes), locks no row and must never write: ``transaction.py``
reads what decisions depend on with locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store_service.engines.contract import EventRow, MessageRow
from store_service.engines.postgres import rows, statements, stream_statements
from store_service.engines.postgres.connection import Session
from store_service.engines.sql import columns
from store_service.engines.sql.reader import SqlReader
from store_service.engines.stream_contract import ChunkRow


class PostgresReader(SqlReader[Session]):
    """``contract.Reader`` on PostgreSQL."""

    __slots__ = ()

    _sql = statements.COMMON

    def all_events(self, *, after_position: int, limit: int) -> list[tuple[int, EventRow]]:
        found = self._session.all(statements.ALL_EVENTS, (after_position, after_position, limit))
        return [(values[0], columns.event_row(values[1:])) for values in found]

    def last_position(self) -> int:
        return self._session.scalar(statements.LAST_POSITION) or 0

    def chunks(self, stream: int, *, from_index: int, limit: int, bytes_max: int) -> list[ChunkRow]:
        last = -1
        size = 0
        for index, length in self._session.all(stream_statements.CHUNK_SIZES, (stream, from_index, limit)):
            last = index
            size += length
            if size >= bytes_max:
                break
        if last < 0:
            return []
        found = self._session.all(stream_statements.CHUNKS, (stream, from_index, last))
        return [ChunkRow(*values) for values in found]

    def _message_row(self, values: Sequence[Any]) -> MessageRow:
        return rows.message_row(values)
