"""Items of a stream as chunks of bytes and back, and what a chunk is to a reader.

Owns the form of a chunk: an item of type ``bytes`` is its bytes, everything else JSON text; the media type of the
stream tells which. So any language can read a stream, and a file needs no base64. Read ``holdfast/streams.py`` for
who writes and ``holdfast/stream_reader.py`` for who reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from holdfast.errors import SerializationError
from holdfast.limits import exceeded
from holdfast.serialization import decode_value, encode_value
from holdfast.v1 import payload_pb2, stream_service_pb2

_T = TypeVar("_T", covariant=True)

#: Bytes of one item: what the store takes as one chunk.
CHUNK_BYTES_MAX: Final = 1024 * 1024

BYTES_TYPE: Final = "application/octet-stream"
JSON_TYPE: Final = "application/json"

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Chunk(Generic[_T]):
    """One item with its place and its author. ``step_id`` is "" and ``attempt`` 0 when no step wrote it."""

    index: int
    step_id: str
    attempt: int
    data: _T


@dataclass(frozen=True, slots=True)
class Reset:
    """Attempt ``attempt`` of a step has begun: chunks of that step with a lower attempt are void."""

    step_id: str
    attempt: int


def check_name(name: str) -> str:
    """Return the name of a stream. Raises ValueError for a malformed one."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"a stream name is 1 to 128 characters of A-Z a-z 0-9 . _ -, got {name!r}")
    return name


def content_type_of(kind: Any) -> str:
    """Return the media type of a stream of items of a type."""
    return BYTES_TYPE if kind is bytes else JSON_TYPE


def encode_item(kind: Any, item: Any, name: str) -> bytes:
    """Validate an item and encode it. Raises SerializationError or LimitExceeded, with the stream's name."""
    if kind is bytes and not isinstance(item, bytes | bytearray | memoryview):
        raise SerializationError(f"stream {name}: an item must be bytes, got {type(item).__name__}")
    chunk = bytes(item) if kind is bytes else _json(kind, item, name)
    if len(chunk) > CHUNK_BYTES_MAX:
        raise exceeded(
            "chunk_bytes",
            CHUNK_BYTES_MAX,
            len(chunk),
            f"stream {name}: an item takes {len(chunk)} bytes; write it in parts",
        )
    return chunk


def decode_item(kind: Any, data: bytes, content_type: str) -> Any:
    """Decode and validate an item. Raises SerializationError."""
    return decode_value(kind, payload_pb2.Payload(data=data, content_type=content_type or BYTES_TYPE))


class ToldResets:
    """Which resets a reader needs to be told: each once, also when its source begins anew in between."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], int] = {}

    def is_new(self, author: stream_service_pb2.StreamAuthor) -> bool:
        """Note a reset; False when it, or a later attempt, was told before."""
        newest = self._newest.get((author.run_id, author.step_id), 0)
        self.saw(author)
        return author.attempt > newest

    def saw(self, author: stream_service_pb2.StreamAuthor) -> None:
        """Note the author of a chunk."""
        key = (author.run_id, author.step_id)
        self._newest[key] = max(author.attempt, self._newest.get(key, 0))


def _json(kind: Any, item: Any, name: str) -> bytes:
    try:
        return encode_value(kind, item).text.encode()
    except SerializationError as error:
        raise SerializationError(f"stream {name}: {error}") from error.__cause__
