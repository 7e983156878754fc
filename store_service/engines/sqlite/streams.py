"""Writes of byte streams on SQLite: the stream part of the transaction, as a base of it.

Owns the numbers of streams and writers, which SQLite gives. Like the reader below it (``reader.py``) and the
transaction above it (``transaction.py``), it begins and ends no transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from store_service.engines.sqlite import statements
from store_service.engines.sqlite.reader import SqliteReader
from store_service.engines.sqlite.statements import COMMON
from store_service.engines.stream_contract import StreamRow, StreamWriterRow


class SqliteStreamWrites(SqliteReader):
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

    def insert_chunks(self, stream: int, writer: int, first_index: int, chunks: Sequence[tuple[bytes, bytes]]) -> None:
        for index, (data, checksum) in enumerate(chunks, first_index):
            self._session.execute(COMMON.INSERT_CHUNK, (stream, index, writer, data, checksum))

    def _insert(self, text: str, parameters: Sequence[Any]) -> int:
        number = self._session.execute(text, parameters).lastrowid
        assert number is not None
        return number
