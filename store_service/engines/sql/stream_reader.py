"""Reads of byte streams that both engines make alike: most of ``stream_contract.StreamReads``, a base of ``reader.py``.

Owns them over a session of either engine. How far chunks are read at once is each engine's own. Like the class that it
is mixed into, it begins and ends no transaction.
"""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from store_service.engines.sql import columns
from store_service.engines.sql.dialect import Asking
from store_service.engines.sql.statements import Statements
from store_service.engines.stream_contract import StreamRow, StreamWriterRow

S = TypeVar("S", bound=Asking)


class SqlStreamReads(Generic[S]):
    """``stream_contract.StreamReads`` but ``chunks``. An engine sets ``_sql``, its statements."""

    __slots__ = ()

    _sql: ClassVar[Statements]
    _session: S

    def stream(self, run_id: str, name: str) -> StreamRow | None:
        found = self._session.one(self._sql.STREAM, (run_id, name))
        return None if found is None else columns.stream_row(found)

    def streams(self, run_id: str, *, after: str, limit: int) -> list[StreamRow]:
        return [columns.stream_row(values) for values in self._session.all(self._sql.STREAMS, (run_id, after, limit))]

    def stream_count(self, run_id: str) -> int:
        count: int = self._session.scalar(self._sql.COUNT_STREAMS, (run_id,))
        return count

    def stream_writer(
        self, stream: int, writer_id: str, step_run_id: str, step_id: str, attempt: int
    ) -> StreamWriterRow | None:
        found = self._session.one(self._sql.WRITER, (stream, writer_id, step_run_id, step_id, attempt))
        return None if found is None else columns.writer_row(found)

    def latest_attempts(self, stream: int, *, before_index: int) -> list[tuple[str, str, int]]:
        return self._session.all(self._sql.LATEST_ATTEMPTS, (stream, before_index))
