"""Byte streams on PostgreSQL, the side that reads: ``stream_contract.StreamReads`` as a base of ``reader.py``.

Owns the reads of streams, their writers and their chunks. Like the class that it is mixed into, it begins and ends no
transaction.
"""

from __future__ import annotations

from store_service.engines.postgres import rows
from store_service.engines.postgres import stream_statements as statements
from store_service.engines.postgres.connection import Session
from store_service.engines.stream_contract import ChunkRow, StreamRow, StreamWriterRow


class PostgresStreamReads:
    """``stream_contract.StreamReads`` on a session."""

    __slots__ = ()

    _session: Session

    def stream(self, run_id: str, name: str) -> StreamRow | None:
        found = self._session.one(statements.STREAM, (run_id, name))
        return None if found is None else rows.stream_row(found)

    def streams(self, run_id: str, *, after: str, limit: int) -> list[StreamRow]:
        return [rows.stream_row(values) for values in self._session.all(statements.STREAMS, (run_id, after, limit))]

    def stream_count(self, run_id: str) -> int:
        count: int = self._session.scalar(statements.COUNT_STREAMS, (run_id,))
        return count

    def chunks(self, stream: int, *, from_index: int, limit: int, bytes_max: int) -> list[ChunkRow]:
        last = -1
        size = 0
        for index, length in self._session.all(statements.CHUNK_SIZES, (stream, from_index, limit)):
            last = index
            size += length
            if size >= bytes_max:
                break
        if last < 0:
            return []
        return [ChunkRow(*values) for values in self._session.all(statements.CHUNKS, (stream, from_index, last))]

    def stream_writer(
        self, stream: int, writer_id: str, step_run_id: str, step_id: str, attempt: int
    ) -> StreamWriterRow | None:
        found = self._session.one(statements.WRITER, (stream, writer_id, step_run_id, step_id, attempt))
        return None if found is None else rows.writer_row(found)

    def latest_attempts(self, stream: int, *, before_index: int) -> list[tuple[str, str, int]]:
        return self._session.all(statements.LATEST_ATTEMPTS, (stream, before_index))
