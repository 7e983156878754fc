"""Writing to byte streams: append and close, in one transaction each.

Owns the order of checks: what the writer has written before → run, author, closed → quotas. A repeat is recognised by
the numbers of its writer before anything else is looked at, so it gets its answer even when the stream was closed or
the run ended since. An attempt that a newer one superseded may not write: after the newer one has begun, no
chunk of it can slip in between. What a new attempt undoes of an old one is only its close; its chunks stay where they
are, and readers judge them (``stream_reading.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from store_service import limits
from store_service.engines.contract import EntityKind, Reader, RunRow, Transaction
from store_service.engines.stream_contract import StreamNote, StreamRow, StreamWriterRow
from store_service.rules import refusals, soundness, stream_refusals
from store_service.rules.reading import require_run
from store_service.rules.stream_authors import NOBODY, Author, is_running, is_superseded, step_of


@dataclass(frozen=True, slots=True)
class StreamAppend:
    """One append, its fields checked. ``writer_id`` "" recognises nothing again."""

    run_id: str
    name: str
    chunks: Sequence[bytes]
    content_type: str = ""
    writer_id: str = ""
    writer_chunk: int = 0
    closes: bool = False
    author: Author = NOBODY
    #: Path of writer_chunk in the request, for the refusal.
    field: str = "writer_chunk"


@dataclass(frozen=True, slots=True)
class Appended:
    """The stream after the append, the writer's next number, and how many chunks the store had already."""

    stream: StreamRow
    next_chunk: int
    skipped_count: int


def append(tx: Transaction, request: StreamAppend, now_ms: int) -> Appended:
    """Append chunks, all or none, and perhaps close the stream.

    Raises Refusal INVALID_FIELD (the writer skips numbers), RUN_NOT_FOUND, RUN_TERMINAL, ENTITY_NOT_FOUND,
    ILLEGAL_TRANSITION, STREAM_CLOSED, QUOTA_EXCEEDED.
    """
    run = require_run(tx, request.run_id)
    stream = tx.stream(request.run_id, request.name)
    writer = _writer(tx, stream, request)
    next_chunk = writer.next_chunk if request.writer_id else request.writer_chunk
    if request.writer_chunk > next_chunk:
        raise stream_refusals.numbers_skipped(request.field, request.writer_chunk, next_chunk)
    skipped_count = min(next_chunk - request.writer_chunk, len(request.chunks))
    fresh = request.chunks[skipped_count:]
    if stream is not None and not fresh and (not request.closes or _has_closed(stream, request.author)):
        return Appended(stream, next_chunk, skipped_count)
    _admit(tx, run, stream, request)
    after = _written(tx, stream, writer, request, fresh, now_ms)
    return Appended(after, next_chunk + len(fresh), skipped_count)


def close(tx: Transaction, run_id: str, name: str, now_ms: int) -> StreamRow:
    """Close a stream, creating it when it is not there. Idempotent.

    Raises Refusal RUN_NOT_FOUND, RUN_TERMINAL (no such stream, and the run has ended), QUOTA_EXCEEDED.
    """
    run = require_run(tx, run_id)
    stream = tx.stream(run_id, name)
    if stream is not None and (run.terminal_seq or _has_closed(stream, NOBODY)):
        return stream
    if run.terminal_seq:
        raise stream_refusals.run_ended(run, name)
    return append(tx, StreamAppend(run_id, name, (), closes=True), now_ms).stream


def is_closed(reader: Reader, stream: StreamRow) -> bool:
    """Tell whether a stream is closed now: a close by an attempt is undone when a newer attempt begins."""
    return stream.is_closed and not is_superseded(reader, closer_of(stream))


def closer_of(stream: StreamRow) -> Author:
    """Return who closed a closed stream."""
    return Author(stream.closer_run_id, stream.closer_step_id, stream.closer_attempt)


def _has_closed(stream: StreamRow, author: Author) -> bool:
    return stream.is_closed and closer_of(stream) in (author, NOBODY)


def _writer(tx: Transaction, stream: StreamRow | None, request: StreamAppend) -> StreamWriterRow:
    """Return the writer's row; one with number 0 when it is new."""
    author = request.author
    known = None
    if stream is not None:
        known = tx.stream_writer(stream.number, request.writer_id, author.run_id, author.step_id, author.attempt)
    return known or StreamWriterRow(0, 0, request.writer_id, author.run_id, author.step_id, author.attempt, 0, 0)


def _admit(tx: Transaction, run: RunRow, stream: StreamRow | None, request: StreamAppend) -> None:
    if run.terminal_seq:
        raise stream_refusals.run_ended(run, request.name)
    if request.author.step_id:
        _require_running(tx, request.author)
    is_repeated_close = request.closes and not request.chunks
    if stream is not None and not is_repeated_close and is_closed(tx, stream):
        raise stream_refusals.stream_closed(run.run_id, request.name, stream.next_index)
    for limit, most, actual in _quotas(tx, stream, request):
        if actual > most:
            raise stream_refusals.stream_quota(run.run_id, request.name, limit, most, actual)


def _require_running(tx: Transaction, author: Author) -> None:
    step = step_of(tx, author)
    if step is None:
        raise refusals.entity_not_found(author.run_id, EntityKind.STEP, author.step_id)
    if not is_running(step, author.attempt):
        raise stream_refusals.not_running(author, step)


def _quotas(tx: Transaction, stream: StreamRow | None, request: StreamAppend) -> Iterator[tuple[str, int, int]]:
    if stream is None:
        yield "run_streams", limits.RUN_STREAMS_MAX, tx.stream_count(request.run_id) + 1
    chunks, size = (stream.next_index, stream.size_bytes) if stream is not None else (0, 0)
    yield "stream_chunks", limits.STREAM_CHUNKS_MAX, chunks + len(request.chunks)
    yield "stream_bytes", limits.STREAM_BYTES_MAX, size + sum(map(len, request.chunks))


def _written(
    tx: Transaction,
    stream: StreamRow | None,
    writer: StreamWriterRow,
    request: StreamAppend,
    fresh: Sequence[bytes],
    now_ms: int,
) -> StreamRow:
    before = stream or tx.insert_stream(_new_stream(request, now_ms))
    if fresh:
        number = _counted(tx, before, writer, len(fresh))
        tx.insert_chunks(before.number, number, before.next_index, soundness.sealed_chunks(before, writer, fresh))
    after = replace(
        before,
        content_type=before.content_type or request.content_type,
        next_index=before.next_index + len(fresh),
        size_bytes=before.size_bytes + sum(map(len, fresh)),
        update_ms=max(before.update_ms, now_ms),
    )
    after = _closed_by(after, request.author, is_closed=request.closes)
    tx.put_stream(after)
    tx.note(StreamNote(request.run_id, request.name))
    return after


def _new_stream(request: StreamAppend, now_ms: int) -> StreamRow:
    return StreamRow(
        number=0,
        run_id=request.run_id,
        name=request.name,
        content_type=request.content_type,
        next_index=0,
        size_bytes=0,
        is_closed=False,
        closer_run_id="",
        closer_step_id="",
        closer_attempt=0,
        create_ms=now_ms,
        update_ms=now_ms,
    )


def _closed_by(stream: StreamRow, author: Author, *, is_closed: bool) -> StreamRow:
    by = author if is_closed else NOBODY
    return replace(
        stream,
        is_closed=is_closed,
        closer_run_id=by.run_id,
        closer_step_id=by.step_id,
        closer_attempt=by.attempt,
    )


def _counted(tx: Transaction, stream: StreamRow, writer: StreamWriterRow, count: int) -> int:
    """Write the writer's new count and return its number."""
    if not writer.number:
        new = replace(writer, stream=stream.number, next_chunk=count, first_index=stream.next_index)
        return tx.insert_stream_writer(new).number
    tx.put_stream_writer(replace(writer, next_chunk=writer.next_chunk + count))
    return writer.number
