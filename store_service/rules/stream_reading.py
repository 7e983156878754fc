"""Reading byte streams: where a reader stands, what comes next, and when there is an end.

Owns the two ways to read. Live: every chunk in order, with a word (``Reset``) once a newer attempt of a step begins
whose earlier attempt this reader was shown. Final: only chunks that count; one whose attempt still runs holds up those
after it, so that the index always rises. What a reader was shown before it broke off is known from the writers of the
stream, so a reader that comes back with its next index misses no reset. Pure position logic; following is
``api/stream_reading.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.v1 import entity_pb2, stream_service_pb2
from store_service import limits
from store_service.engines.contract import Reader
from store_service.engines.stream_contract import ChunkRow, StreamRow
from store_service.rules import clock, cursors, soundness, stream_refusals
from store_service.rules.reading import page_size, require_run
from store_service.rules.stream_authors import NOBODY, Author, Verdict, judge, step_of
from store_service.rules.streams import closer_of, is_closed

_ENDED_STEPS: Final = frozenset(
    (entity_pb2.STEP_STATUS_COMPLETED, entity_pb2.STEP_STATUS_FAILED, entity_pb2.STEP_STATUS_CANCELLED)
)


@dataclass(frozen=True, slots=True)
class Reset:
    """A newer attempt began: what its step wrote in lower attempts is void."""

    author: Author


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to tell, and the index to go on with after it."""

    next_index: int
    what: ChunkRow | Reset


@dataclass(frozen=True, slots=True)
class Portion:
    """What comes next. ``is_at_end``: no more for now. ``is_ended``: no more for ever."""

    items: list[Item]
    is_at_end: bool
    is_ended: bool
    content_type: str = ""
    size_bytes: int = 0


class StreamPlace:
    """One reader's place in a stream. ``next_index`` is where it goes on; ``runs`` are those whose steps it waits for.

    Made by ``begin``; each ``read`` moves it on.
    """

    def __init__(self, run_id: str, name: str, *, is_final: bool, tells_resets: bool) -> None:
        self.next_index = 0
        self.runs = {run_id}
        self._run_id = run_id
        self._name = name
        self._is_final = is_final
        self._tells_resets = tells_resets
        self._until: int | None = None
        self._is_held_up = False
        #: (run, step) → newest attempt shown, for the steps that may still begin another.
        self._shown: dict[tuple[str, str], int] = {}

    def begin(self, reader: Reader, start_index: int, *, is_snapshot: bool) -> None:
        """Take the place of a start index; negative counts from the end. Raises RUN_NOT_FOUND, RESOURCE_NOT_FOUND."""
        require_run(reader, self._run_id)
        stream = reader.stream(self._run_id, self._name)
        if stream is None and is_snapshot:
            raise stream_refusals.stream_not_found(self._run_id, self._name)
        length = stream.next_index if stream is not None else 0
        self.next_index = start_index if start_index >= 0 else max(0, length + start_index)
        self._until = length if is_snapshot else None
        if stream is not None and self._tells_resets:
            for run_id, step_id, attempt in reader.latest_attempts(stream.number, before_index=self.next_index):
                self._show(Author(run_id, step_id, attempt))

    def read(self, reader: Reader, bytes_max: int) -> Portion:
        """Return what comes next: ``bytes_max`` of chunks, or a single one that is larger.

        Raises RUN_NOT_FOUND once the run is deleted, CORRUPT_LOG for a chunk that is not what was written.
        """
        has_run_ended = bool(require_run(reader, self._run_id).terminal_seq)
        stream = reader.stream(self._run_id, self._name)
        if stream is None:
            return Portion([], is_at_end=True, is_ended=has_run_ended)
        end = stream.next_index if self._until is None else self._until
        self._is_held_up = False
        chunks = self._chunks(reader, stream, end, bytes_max)
        items = list(self._counting(reader, chunks, has_run_ended) if self._is_final else self._everything(chunks))
        has_all = self.next_index >= end
        if has_all:
            items.extend(self._late_resets(reader))
        is_over = has_run_ended or self._until is not None or self._is_over(reader, stream)
        return Portion(
            items,
            is_at_end=has_all or self._is_held_up,
            is_ended=has_all and is_over,
            content_type=stream.content_type,
            size_bytes=stream.size_bytes,
        )

    def _chunks(self, reader: Reader, stream: StreamRow, end: int, bytes_max: int) -> list[ChunkRow]:
        limit = max(0, min(limits.READ_CHUNKS_MAX, end - self.next_index))
        chunks = reader.chunks(stream.number, from_index=self.next_index, limit=limit, bytes_max=bytes_max)
        soundness.require_sound_chunks(stream, self.next_index, end, chunks)
        return chunks

    def _everything(self, chunks: list[ChunkRow]) -> Iterator[Item]:
        for chunk in chunks:
            author = author_of_chunk(chunk)
            if self._tells_resets and author.step_id:
                if self._shown.get((author.run_id, author.step_id), author.attempt) < author.attempt:
                    yield Item(self.next_index, Reset(author))
                self._show(author)
            self.next_index = chunk.index + 1
            yield Item(self.next_index, chunk)

    def _counting(self, reader: Reader, chunks: list[ChunkRow], has_run_ended: bool) -> Iterator[Item]:
        """Yield the chunks that count, up to the first whose attempt may still go either way."""
        verdicts: dict[Author, Verdict] = {NOBODY: Verdict.COUNTS}
        may_wait = not has_run_ended and self._until is None
        for chunk in chunks:
            author = author_of_chunk(chunk)
            if author not in verdicts:
                verdicts[author] = judge(reader, author)
            if verdicts[author] is Verdict.OPEN and may_wait:
                self._is_held_up = True
                self.runs.add(author.run_id)
                return
            self.next_index = chunk.index + 1
            if verdicts[author] is Verdict.COUNTS:
                yield Item(self.next_index, chunk)

    def _late_resets(self, reader: Reader) -> Iterator[Item]:
        """Yield a reset for each step whose newer attempt has begun and not yet written anything."""
        for (run_id, step_id), attempt in list(self._shown.items()):
            step = step_of(reader, Author(run_id, step_id, attempt))
            if step is not None and step.attempt > attempt:
                yield Item(self.next_index, Reset(Author(run_id, step_id, step.attempt)))
            if step is None or step.attempt > attempt or step.status in _ENDED_STEPS:
                del self._shown[run_id, step_id]

    def _show(self, author: Author) -> None:
        self._shown[author.run_id, author.step_id] = author.attempt
        self.runs.add(author.run_id)

    def _is_over(self, reader: Reader, stream: StreamRow) -> bool:
        if not is_closed(reader, stream):
            return False
        return not self._is_final or judge(reader, closer_of(stream)) is Verdict.COUNTS


def info_of(reader: Reader, stream: StreamRow) -> stream_service_pb2.StreamInfo:
    """Return the state of a stream; that of a run that has ended is closed."""
    run = require_run(reader, stream.run_id)
    return stream_service_pb2.StreamInfo(
        stream=stream_service_pb2.StreamRef(run_id=stream.run_id, name=stream.name),
        content_type=stream.content_type,
        next_index=stream.next_index,
        size_bytes=stream.size_bytes,
        closed=bool(run.terminal_seq) or is_closed(reader, stream),
        create_time=clock.to_timestamp(stream.create_ms),
        update_time=clock.to_timestamp(stream.update_ms),
    )


def get_stream(reader: Reader, run_id: str, name: str) -> stream_service_pb2.StreamInfo:
    """Return the state of a stream. Raises RUN_NOT_FOUND, RESOURCE_NOT_FOUND."""
    require_run(reader, run_id)
    stream = reader.stream(run_id, name)
    if stream is None:
        raise stream_refusals.stream_not_found(run_id, name)
    return info_of(reader, stream)


def list_streams(
    reader: Reader, request: stream_service_pb2.ListStreamsRequest
) -> stream_service_pb2.ListStreamsResponse:
    """Return a page of a run's streams, by name. Raises RUN_NOT_FOUND, INVALID_CURSOR."""
    scope, size = cursors.scope_of(request), page_size(request.page_size)
    key = cursors.read_page_token(request.page_token, scope)
    require_run(reader, request.run_id)
    found = reader.streams(request.run_id, after=str(key[0]) if key else "", limit=size + 1)
    token = cursors.page_token(scope, [found[size - 1].name]) if len(found) > size else ""
    streams = [info_of(reader, stream) for stream in found[:size]]
    return stream_service_pb2.ListStreamsResponse(streams=streams, next_page_token=token)


def author_of_chunk(chunk: ChunkRow) -> Author:
    """Return who wrote a chunk."""
    return Author(chunk.step_run_id, chunk.step_id, chunk.attempt) if chunk.step_id else NOBODY
