"""Whether what is in no log is what was written: messages of queues, chunks of streams, remembered requests.

Owns what their checksums are taken over: the bytes, and whose they are, so that neither a changed bit nor a row in
another's place goes unnoticed. What changes with every delivery (state, times, counts) is not covered. A row without a
checksum was written by a version that kept none, and is taken as it is. Must never repair anything: a reader is told
CORRUPT_LOG, a message is set aside as a dead letter. Events have a chain of their own, see ``stored.py``.
Proof: tests/rules/test_soundness.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from holdfast.refusal import Refusal
from store_service import checksum
from store_service.engines.contract import MessageRow, RequestRow
from store_service.engines.stream_contract import ChunkRow, StreamRow, StreamWriterRow

#: What `last_reason` says of a message that was set aside.
NOT_WHAT_WAS_SENT: Final = "not what was sent: its checksum differs"

_NUMBER_BYTES: Final = 8


def sealed(row: MessageRow) -> MessageRow:
    """Return a message with the checksum of its body, to be stored."""
    return replace(row, checksum=_of_message(row))


def is_sound(row: MessageRow) -> bool:
    """Return whether a message is what was sent, as far as anybody can tell."""
    return not row.checksum or row.checksum == _of_message(row)


def require_sound(row: MessageRow) -> None:
    """Raise Refusal CORRUPT_LOG unless a message is what was sent."""
    if not is_sound(row):
        raise corrupt_message(row, "is " + NOT_WHAT_WAS_SENT)


def corrupt_message(row: MessageRow, what: str) -> Refusal:
    """Build the refusal of a message that fails its integrity check."""
    metadata = {"message_id": row.message_id, "queue": row.queue}
    return Refusal("CORRUPT_LOG", f"message {row.message_id} of queue {row.queue} {what}", metadata=metadata)


def sealed_chunks(stream: StreamRow, writer: StreamWriterRow, chunks: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return chunks that are about to be appended to a stream, each with its checksum."""
    author = (writer.step_run_id, writer.step_id, writer.attempt)
    rows = (ChunkRow(index, *author, data) for index, data in enumerate(chunks, stream.next_index))
    return [(row.data, _of_chunk(stream, row)) for row in rows]


def require_sound_chunks(stream: StreamRow, from_index: int, end: int, chunks: Sequence[ChunkRow]) -> None:
    """Raise Refusal CORRUPT_LOG unless ``chunks`` are the next ones from an index on, each what was written.

    ``end`` is where the stream ends: before it there is a chunk at every index.
    """
    for index, chunk in enumerate(chunks, from_index):
        if chunk.index != index:
            raise _corrupt_stream(stream, f"chunk {index} is missing; {chunk.index} follows", index)
        if chunk.checksum and chunk.checksum != _of_chunk(stream, chunk):
            raise _corrupt_stream(stream, f"chunk {index} is not what was written: its checksum differs", index)
    if not chunks and from_index < end:
        raise _corrupt_stream(stream, f"chunk {from_index} is missing at the end", from_index)


def require_size(stream: StreamRow, chunks: int, size_bytes: int) -> None:
    """Raise Refusal CORRUPT_LOG unless a stream has as many chunks and bytes as it says."""
    if (chunks, size_bytes) != (stream.next_index, stream.size_bytes):
        told = f"{stream.next_index} chunks with {stream.size_bytes} bytes"
        raise _corrupt_stream(stream, f"it says that it has {told}; it has {chunks} with {size_bytes}", chunks)


def sealed_request(row: RequestRow) -> RequestRow:
    """Return what is remembered of a request with its checksum, to be stored."""
    return replace(row, checksum=_of_request(row))


def require_sound_request(row: RequestRow) -> None:
    """Raise Refusal CORRUPT_LOG unless what is remembered of a request is what was noted."""
    if row.checksum and row.checksum != _of_request(row):
        raise Refusal(
            "CORRUPT_LOG",
            f"what request id {row.request_id} wrote is not what was noted: its checksum differs",
            metadata={"request_id": row.request_id, "run_id": row.run_id},
        )


def _corrupt_stream(stream: StreamRow, what: str, index: int) -> Refusal:
    metadata = {"run_id": stream.run_id, "stream": stream.name, "index": index}
    return Refusal("CORRUPT_LOG", f"stream {stream.name} of run {stream.run_id}: {what}", metadata=metadata)


def _of_message(row: MessageRow) -> bytes:
    return checksum.alone(row.message_id.encode(), row.queue.encode(), row.group.encode(), row.body)


def _of_chunk(stream: StreamRow, chunk: ChunkRow) -> bytes:
    author = (chunk.step_run_id.encode(), chunk.step_id.encode(), _number(chunk.attempt))
    return checksum.alone(stream.run_id.encode(), stream.name.encode(), _number(chunk.index), *author, chunk.data)


def _of_request(row: RequestRow) -> bytes:
    places = (_number(row.first_seq), _number(row.last_seq), _number(row.expire_ms))
    names = (it.encode() for it in (row.request_id, row.run_id, *row.message_ids))
    return checksum.alone(row.digest, *places, *names)


def _number(value: int) -> bytes:
    return value.to_bytes(_NUMBER_BYTES)
