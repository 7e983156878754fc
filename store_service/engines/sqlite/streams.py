"""Byte streams on SQLite: the stream part of Reader and Transaction, as two bases of theirs.

Owns the mapping between tuples and the rows of ``engines/stream_contract.py``. Like the classes that it is mixed into
(``reader.py``, ``transaction.py``), it begins and ends no transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from store_service.engines.sqlite import stream_statements as statements
from store_service.engines.sqlite.connection import Session
from store_service.engines.stream_contract import ChunkRow, StreamRow, StreamWriterRow


class SqliteStreamReads:
    """``stream_contract.StreamReads`` on a session."""

    __slots__ = ()

    _session: Session

    def stream(self, run_id: str, name: str) -> StreamRow | None:
        found = self._session.one(statements.STREAM, (run_id, name))
        return None if found is None else _stream_row(found)

    def streams(self, run_id: str, *, after: str, limit: int) -> list[StreamRow]:
        return [_stream_row(values) for values in self._session.all(statements.STREAMS, (run_id, after, limit))]

    def stream_count(self, run_id: str) -> int:
        count: int = self._session.scalar(statements.COUNT_STREAMS, (run_id,))
        return count

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

    def stream_writer(
        self, stream: int, writer_id: str, step_run_id: str, step_id: str, attempt: int
    ) -> StreamWriterRow | None:
        found = self._session.one(statements.WRITER, (stream, writer_id, step_run_id, step_id, attempt))
        return None if found is None else StreamWriterRow(*found)

    def latest_attempts(self, stream: int, *, before_index: int) -> list[tuple[str, str, int]]:
        return self._session.all(statements.LATEST_ATTEMPTS, (stream, before_index))


class SqliteStreamWrites(SqliteStreamReads):
    """``stream_contract.StreamWrites`` on a session."""

    __slots__ = ()

    def insert_stream(self, row: StreamRow) -> StreamRow:
        return replace(row, number=self._insert(statements.INSERT_STREAM, statements.stream_parameters(row)))

    def put_stream(self, row: StreamRow) -> None:
        if self._session.execute(statements.PUT_STREAM, statements.put_stream_parameters(row)).rowcount != 1:
            raise LookupError(f"put_stream of stream {row.name} of run {row.run_id}, which does not exist")

    def insert_stream_writer(self, row: StreamWriterRow) -> StreamWriterRow:
        return replace(row, number=self._insert(statements.INSERT_WRITER, statements.writer_parameters(row)))

    def put_stream_writer(self, row: StreamWriterRow) -> None:
        if self._session.execute(statements.PUT_WRITER, (row.next_chunk, row.number)).rowcount != 1:
            raise LookupError(f"put_stream_writer of writer {row.number}, which does not exist")

    def insert_chunks(self, stream: int, writer: int, first_index: int, chunks: Sequence[bytes]) -> None:
        for index, data in enumerate(chunks, first_index):
            self._session.execute(statements.INSERT_CHUNK, (stream, index, writer, data))

    def _insert(self, text: str, parameters: Sequence[Any]) -> int:
        number = self._session.execute(text, parameters).lastrowid
        assert number is not None
        return number


def _stream_row(values: Sequence[Any]) -> StreamRow:
    number, run_id, name, content_type, next_index, size_bytes, is_closed, *rest = values
    return StreamRow(number, run_id, name, content_type, next_index, size_bytes, bool(is_closed), *rest)
