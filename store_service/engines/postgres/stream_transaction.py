"""Byte streams in one unit of work: ``stream_contract.StreamWrites``, and the whole transaction put together.

Owns the numbers of streams and writers. A stream is read and written under the lock of its run; its writers and chunks
under the same, because nobody comes to them but through the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from store_service.engines.postgres import stream_statements as statements
from store_service.engines.postgres.queue_transaction import QueueUnit, next_number
from store_service.engines.postgres.statements import COMMON
from store_service.engines.stream_contract import ChunkRow, StreamRow, StreamWriterRow


class PostgresTransaction(QueueUnit):
    """``contract.Transaction`` on PostgreSQL. Writes to rows that are not there raise LookupError."""

    __slots__ = ()

    def stream(self, run_id: str, name: str) -> StreamRow | None:
        self._hold(run_id)
        find = super().stream
        return self._get(("stream", run_id, name), lambda: find(run_id, name))

    def streams(self, run_id: str, *, after: str, limit: int) -> list[StreamRow]:
        self._hold(run_id)
        self._flush()
        return super().streams(run_id, after=after, limit=limit)

    def stream_count(self, run_id: str) -> int:
        self._hold(run_id)
        self._flush()
        return super().stream_count(run_id)

    def chunks(self, stream: int, *, from_index: int, limit: int, bytes_max: int) -> list[ChunkRow]:
        self._flush()
        return super().chunks(stream, from_index=from_index, limit=limit, bytes_max=bytes_max)

    def stream_writer(
        self, stream: int, writer_id: str, step_run_id: str, step_id: str, attempt: int
    ) -> StreamWriterRow | None:
        key = ("writer", stream, writer_id, step_run_id, step_id, attempt)
        find = super().stream_writer
        return self._get(key, lambda: find(stream, writer_id, step_run_id, step_id, attempt))

    def latest_attempts(self, stream: int, *, before_index: int) -> list[tuple[str, str, int]]:
        self._flush()
        return super().latest_attempts(stream, before_index=before_index)

    def insert_stream(self, row: StreamRow) -> StreamRow:
        row = replace(row, number=next_number())
        self._writes.add(statements.INSERT_STREAM, *statements.stream_parameters(row))
        self._known["stream", row.run_id, row.name] = row
        return row

    def put_stream(self, row: StreamRow) -> None:
        if self.stream(row.run_id, row.name) is None:
            raise LookupError(f"put_stream of stream {row.name} of run {row.run_id}, which does not exist")
        self._writes.add(statements.PUT_STREAM, *statements.put_stream_parameters(row))
        self._known["stream", row.run_id, row.name] = row

    def insert_stream_writer(self, row: StreamWriterRow) -> StreamWriterRow:
        row = replace(row, number=next_number())
        self._writes.add(statements.INSERT_WRITER, *statements.writer_parameters(row))
        self._known[_key_of(row)] = row
        return row

    def put_stream_writer(self, row: StreamWriterRow) -> None:
        if self.stream_writer(row.stream, row.writer_id, row.step_run_id, row.step_id, row.attempt) is None:
            raise LookupError(f"put_stream_writer of writer {row.number}, which does not exist")
        of = (row.stream, row.step_run_id, row.step_id, row.attempt, row.writer_id)
        self._writes.add(statements.PUT_WRITER, row.next_chunk, *of)
        self._known[_key_of(row)] = row

    def insert_chunks(self, stream: int, writer: int, first_index: int, chunks: Sequence[tuple[bytes, bytes]]) -> None:
        for index, (data, checksum) in enumerate(chunks, first_index):
            self._writes.add(COMMON.INSERT_CHUNK, stream, index, writer, data, checksum)


def _key_of(row: StreamWriterRow) -> tuple[object, ...]:
    return ("writer", row.stream, row.writer_id, row.step_run_id, row.step_id, row.attempt)
