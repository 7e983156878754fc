"""The part of an audit that is about what is in no log: chunks of streams, and messages of queues.

Owns how every one of them is looked at once, page by page, so that large ones fit in memory; whether a row is what was
written says ``soundness.py``. Requests are looked at when they are asked for, within their day. Must never write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from holdfast.refusal import Refusal
from holdfast.v1 import queue_service_pb2
from store_service.engines.contract import MessageQuery, Reader
from store_service.engines.stream_contract import StreamRow
from store_service.rules import soundness
from store_service.rules.queue_reading import message_of

#: Rows that are looked at together, and the bytes of chunks after which no more are read.
_ROWS: Final = 500
_BYTES: Final = 4 << 20

_STATES: Final = tuple(queue_service_pb2.QueueMessageState.values()[1:])


def streams_of(reader: Reader, run_id: str) -> Iterator[str]:
    """Yield what is wrong with the streams of a run, at most one thing a stream."""
    after = ""
    while streams := reader.streams(run_id, after=after, limit=_ROWS):
        for stream in streams:
            try:
                _require_sound(reader, stream)
            except Refusal as refusal:
                yield str(refusal)
        after = streams[-1].name


def messages_of_queues(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield the name of a queue and what is wrong with a message of it, for each that is not what was sent."""
    after = ""
    while names := reader.queue_names(after=after, limit=_ROWS):
        for name in names:
            yield from ((name, text) for text in _messages(reader, name))
        after = names[-1]


def _require_sound(reader: Reader, stream: StreamRow) -> None:
    index = size = 0
    while chunks := reader.chunks(stream.number, from_index=index, limit=_ROWS, bytes_max=_BYTES):
        soundness.require_sound_chunks(stream, index, stream.next_index, chunks)
        index += len(chunks)
        size += sum(len(it.data) for it in chunks)
    soundness.require_sound_chunks(stream, index, stream.next_index, [])
    soundness.require_size(stream, index, size)


def _messages(reader: Reader, queue: str) -> Iterator[str]:
    after = 0
    while rows := reader.messages(MessageQuery(queue=queue, limit=_ROWS, after_number=after, states=_STATES)):
        for row in rows:
            try:
                message_of(row)
            except Refusal as refusal:
                yield str(refusal)
        after = rows[-1].number
