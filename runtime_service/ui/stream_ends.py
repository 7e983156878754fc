"""The end of a stream as text, for a page of its run.

Owns what of a stream is shown: the newest chunks of attempts that count, JSON items one a line and bytes as the text
that they are, if they are any. What a failed attempt wrote is left out once the next attempt has begun, as its readers
are told (``StreamReset``).
"""

from __future__ import annotations

import codecs
from collections import deque
from dataclasses import dataclass

from holdfast.stream_items import JSON_TYPE
from holdfast.v1 import stream_service_pb2
from runtime_service.api.front import Front
from runtime_service.ui import limits
from runtime_service.ui.texts import Text

Message = stream_service_pb2.ReadStreamResponse


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """A stream and the end of what is in it."""

    info: stream_service_pb2.StreamInfo
    shown: Text


async def stream_end(front: Front, info: stream_service_pb2.StreamInfo) -> StreamEnd:
    """Read the end of a stream, as it is now."""
    request = stream_service_pb2.ReadStreamRequest(
        stream=info.stream, start_index=_start(info), snapshot=True, with_resets=True
    )
    newest = Newest()
    async for message in front.store.read_stream(request):
        newest.take(message)
    return StreamEnd(info, _shown(info, newest, request.start_index))


class Newest:
    """The chunks of a stream that are not superseded, as many of the newest as are shown."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._bytes = 0
        #: Whether chunks were dropped for being too old.
        self.is_cut = False
        self._attempts: dict[tuple[str, str], int] = {}

    def take(self, message: Message) -> None:
        """Take the next message of a read."""
        author = message.reset.author if message.HasField("reset") else message.author
        key = (author.run_id, author.step_id)
        self._attempts[key] = max(author.attempt, self._attempts.get(key, 0))
        if not message.HasField("data"):
            return
        self._messages.append(message)
        self._bytes += len(message.data)
        while self._bytes > limits.STREAM_BYTES_MAX and len(self._messages) > 1:
            self._bytes -= len(self._messages.popleft().data)
            self.is_cut = True

    def chunks(self) -> list[bytes]:
        """The chunks, in order."""
        return [message.data for message in self._messages if self._is_current(message.author)]

    def _is_current(self, author: stream_service_pb2.StreamAuthor) -> bool:
        return author.attempt == self._attempts[author.run_id, author.step_id]


def _start(info: stream_service_pb2.StreamInfo) -> int:
    """Where to begin, so that with chunks of about one size not much more is read than is shown."""
    mean = max(1, info.size_bytes // max(1, info.next_index))
    wanted = min(limits.STREAM_CHUNKS_MAX, limits.STREAM_BYTES_MAX // mean + 1)
    return max(0, info.next_index - wanted)


def _shown(info: stream_service_pb2.StreamInfo, newest: Newest, start: int) -> Text:
    is_cut = start > 0 or newest.is_cut
    chunks = newest.chunks()
    if info.content_type == JSON_TYPE:
        text = b"\n".join(chunks).decode(errors="replace")
    else:
        whole = b"".join(chunks)
        # A character may be cut at either end of what is here.
        whole = whole.lstrip(bytes(range(0x80, 0xC0))) if is_cut else whole
        try:
            text = codecs.getincrementaldecoder("utf-8")().decode(whole)
        except UnicodeDecodeError:
            return Text(f"{info.size_bytes:,} bytes of {info.content_type}")
    is_cut = is_cut or len(text) > limits.STREAM_CHARS_MAX
    return Text(text[-limits.STREAM_CHARS_MAX :], "the end of it" if is_cut else "")
