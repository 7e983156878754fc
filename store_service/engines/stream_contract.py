"""What an engine keeps of byte streams: the part of the engine contract that is about chunks.

A stream has a number that the engine gives it; its writers and chunks hang on that number and go with the run that owns
the stream. A chunk names its writer only, so that a token of four bytes does not carry the ids of its step along.
Which chunk may be written is decided in ``store_service/rules/streams.py``; ``contract.py`` puts this into Reader and
Transaction. Times are epoch milliseconds; indexes and counts begin at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One stream. ``number`` is 0 before insertion; ``size_bytes`` counts every chunk.

    ``closer_…`` say which attempt closed it; the step is "" when none was named or it is open.
    """

    number: int
    run_id: str
    name: str
    content_type: str
    next_index: int
    size_bytes: int
    is_closed: bool
    closer_run_id: str
    closer_step_id: str
    closer_attempt: int
    create_ms: int
    update_ms: int


@dataclass(frozen=True, slots=True)
class StreamWriterRow:
    """One writer of a stream: its own numbering, and the attempt that it is (step "" for none).

    ``number`` is 0 before insertion. ``next_chunk`` is the number of its next chunk, ``first_index`` where its first
    chunk stands in the stream.
    """

    number: int
    stream: int
    writer_id: str
    step_run_id: str
    step_id: str
    attempt: int
    next_chunk: int
    first_index: int


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """One chunk as it is read: its place, who wrote it, and its bytes.

    ``checksum`` is over all of that; b"" for a chunk of a version that kept none.
    """

    index: int
    step_run_id: str
    step_id: str
    attempt: int
    data: bytes
    checksum: bytes = b""


@dataclass(frozen=True, slots=True)
class StreamNote:
    """Told after a commit: a stream got chunks or was closed."""

    run_id: str
    name: str


class StreamReads(Protocol):
    """Reads of streams, part of ``contract.Reader``."""

    def stream(self, run_id: str, name: str) -> StreamRow | None: ...

    def streams(self, run_id: str, *, after: str, limit: int) -> list[StreamRow]:
        """Return a run's streams by name, those after the name ``after``."""

    def stream_count(self, run_id: str) -> int:
        """Return how many streams a run has."""

    def chunks(self, stream: int, *, from_index: int, limit: int, bytes_max: int) -> list[ChunkRow]:
        """Return chunks from an index on, in order; stops after the first that brings them to ``bytes_max``."""

    def stream_writer(
        self, stream: int, writer_id: str, step_run_id: str, step_id: str, attempt: int
    ) -> StreamWriterRow | None: ...

    def latest_attempts(self, stream: int, *, before_index: int) -> list[tuple[str, str, int]]:
        """Return (run id, step id, highest attempt) of every step that began to write before an index."""


class StreamWrites(Protocol):
    """Writes of streams, part of ``contract.Transaction``."""

    def insert_stream(self, row: StreamRow) -> StreamRow:
        """Insert a stream and return it with its ``number``."""

    def put_stream(self, row: StreamRow) -> None:
        """Replace a stream."""

    def insert_stream_writer(self, row: StreamWriterRow) -> StreamWriterRow:
        """Insert a writer and return it with its ``number``."""

    def put_stream_writer(self, row: StreamWriterRow) -> None:
        """Replace the ``next_chunk`` of a writer."""

    def insert_chunks(self, stream: int, writer: int, first_index: int, chunks: Sequence[tuple[bytes, bytes]]) -> None:
        """Append chunks, each its bytes and its checksum, at consecutive indexes."""
