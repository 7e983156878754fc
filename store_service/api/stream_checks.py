"""Field checks of StreamService: names, numbers, sizes, and who writes.

Like ``checks.py``: fields first, sizes after, no look at stored state. Returns what the rules work with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from holdfast.refusal import invalid_field
from holdfast.v1 import stream_service_pb2 as api
from store_service import limits
from store_service.api import checks
from store_service.rules.stream_authors import NOBODY, Author, author_of
from store_service.rules.streams import StreamAppend

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ATTEMPTS_MAX: Final = 1_000_000
_INDEX_MAX: Final = 2**62


def ref(stream: api.StreamRef, field: str = "stream") -> tuple[str, str]:
    """Check which stream is meant; returns run id and name."""
    run_id = checks.identifier(stream.run_id, f"{field}.run_id")
    if not _NAME.fullmatch(stream.name):
        raise invalid_field(
            f"{field}.name",
            f"is {checks.shown(stream.name)}; a stream name is 1 to 128 characters of A-Z a-z 0-9 . _ -",
        )
    return run_id, stream.name


def append(request: api.AppendChunksRequest) -> StreamAppend:
    """Check an append: fields, then sizes."""
    writing = _writing(request, "")
    if not request.chunks and not request.close:
        raise invalid_field("chunks", "is empty; send a chunk, or set close")
    sizes(request.chunks, "chunks")
    return _append(writing, request.chunks, closes=request.close)


def opening(request: api.WriteStreamOpen) -> StreamAppend:
    """Check the opening of a write; the append has no chunks yet and says whether to close at the end."""
    return _append(_writing(request, "open."), (), closes=request.close_when_done)


def sizes(chunks: Sequence[bytes], field: str) -> None:
    """Check number and sizes of chunks. Raises Refusal TOO_LARGE."""
    if len(chunks) > limits.APPEND_CHUNKS_MAX:
        raise checks.too_large("append_chunks", limits.APPEND_CHUNKS_MAX, len(chunks), field)
    for index, chunk in enumerate(chunks):
        size(chunk, f"{field}[{index}]")
    total = sum(map(len, chunks))
    if total > limits.APPEND_BYTES_MAX:
        raise checks.too_large("append_bytes", limits.APPEND_BYTES_MAX, total, field)


def size(chunk: bytes, field: str) -> None:
    """Check the size of one chunk. Raises Refusal TOO_LARGE."""
    if len(chunk) > limits.CHUNK_BYTES_MAX:
        raise checks.too_large("chunk_bytes", limits.CHUNK_BYTES_MAX, len(chunk), field)


def index(value: int, field: str) -> int:
    """Check an index; negative ones count from the end."""
    if abs(value) > _INDEX_MAX:
        raise invalid_field(field, f"is {value}, which no stream reaches")
    return value


def _writing(request: Any, path: str) -> dict[str, Any]:
    """Check the fields that both ways to write share."""
    run_id, name = ref(request.stream, f"{path}stream")
    checks.text(request.content_type, f"{path}content_type", limits.CONTENT_TYPE_CHARS_MAX)
    checks.text(request.writer_id, f"{path}writer_id", limits.WRITER_ID_CHARS_MAX)
    checks.natural(request.writer_chunk, f"{path}writer_chunk")
    if request.writer_chunk and not request.writer_id:
        raise invalid_field(f"{path}writer_chunk", f"is {request.writer_chunk}, but writer_id is not set")
    return {
        "run_id": run_id,
        "name": name,
        "content_type": request.content_type,
        "writer_id": request.writer_id,
        "writer_chunk": request.writer_chunk,
        "author": _author(request, run_id, f"{path}author"),
        "field": f"{path}writer_chunk",
    }


def _append(writing: dict[str, Any], chunks: Sequence[bytes], *, closes: bool) -> StreamAppend:
    return StreamAppend(chunks=tuple(chunks), closes=closes, **writing)


def _author(request: Any, run_id: str, field: str) -> Author:
    if not request.HasField("author"):
        return NOBODY
    author: api.StreamAuthor = request.author
    checks.identifier(author.step_id, f"{field}.step_id")
    checks.optional_identifier(author.run_id, f"{field}.run_id")
    if not 1 <= author.attempt <= _ATTEMPTS_MAX:
        raise invalid_field(f"{field}.attempt", f"is {author.attempt}; attempts count from 1 to {_ATTEMPTS_MAX}")
    return author_of(author, run_id)
