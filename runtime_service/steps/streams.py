"""The streams that one attempt of a step writes.

Owns one outbox per stream and attempt: order is kept however many handles there are, a lone item leaves at once, and a
body that writes faster than the store takes waits. Every append carries step and attempt, so that a superseded attempt
is refused, and a number, so that a repeat writes nothing twice. A body may write from a thread with a loop of its own:
the work is done on the runtime's. An attempt is over only when all that it wrote is durable (``finish``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from holdfast.errors import StreamClosed
from holdfast.outbox import Outbox
from holdfast.v1 import stream_service_pb2
from runtime_service.steps.attempt import Attempt
from runtime_service.steps.limits import STREAM_BUFFER_BYTES_MAX, STREAM_SEND_BYTES_MAX, STREAM_SEND_CHUNKS_MAX

#: Sends an append, waiting for a store that is away as long as the attempt lives.
AppendChunks = Callable[[stream_service_pb2.AppendChunksRequest], Awaitable[stream_service_pb2.AppendChunksResponse]]


class AttemptStreams:
    """The streams of one attempt. Made on the runtime's event loop."""

    def __init__(self, attempt: Attempt, append: AppendChunks | None) -> None:
        self._attempt = attempt
        self._append = append
        self._loop: Final = asyncio.get_running_loop()
        self._open: dict[tuple[str, str], _Sink] = {}

    @property
    def are_unused(self) -> bool:
        """Whether the attempt has opened none."""
        return not self._open

    def open(self, run_id: str, name: str, content_type: str) -> _Sink:
        """Return the writing end of a stream, the same for every handle on it. Safe from any thread."""
        assert self._append is not None, "a runner without a store got a step that writes a stream"
        sink = _Sink(self._attempt, self._append, run_id, name, content_type, self._loop)
        return self._open.setdefault((run_id, name), sink)

    async def finish(self) -> None:
        """Wait until everything written is durable. Raises what an append was refused with."""
        for sink in list(self._open.values()):
            await sink.flush()

    def stop(self) -> None:
        """Drop what is not yet sent. Idempotent."""
        for sink in list(self._open.values()):
            sink.stop()


class _Sink:
    """One stream being written: ``holdfast.context.StreamPort``."""

    def __init__(
        self,
        attempt: Attempt,
        append: AppendChunks,
        run_id: str,
        name: str,
        content_type: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._attempt = attempt
        self._append = append
        self._run_id = run_id
        self._name = name
        self._content_type = content_type
        self._loop = loop
        self._is_closed = False
        self._outbox = Outbox(
            self._send,
            bytes_max=STREAM_BUFFER_BYTES_MAX,
            send_bytes_max=STREAM_SEND_BYTES_MAX,
            send_chunks_max=STREAM_SEND_CHUNKS_MAX,
        )

    async def write(self, chunk: bytes) -> None:
        """See ``holdfast.streams.StreamWriter.write``."""
        await self._here(self._write(chunk))

    async def close(self) -> None:
        """See ``holdfast.streams.StreamWriter.close``."""
        await self._here(self._close())

    async def flush(self) -> None:
        """Wait until everything written is durable."""
        await self._outbox.flush()

    def stop(self) -> None:
        self._outbox.stop()

    async def _here(self, work: Coroutine[Any, Any, None]) -> None:
        if asyncio.get_running_loop() is self._loop:
            await work
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _write(self, chunk: bytes) -> None:
        if self._is_closed:
            raise StreamClosed(f"stream {self._name!r} was closed by this step; write before close()")
        await self._outbox.put(chunk)

    async def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        await self._append(self._request((), await self._outbox.flush(), close=True))

    async def _send(self, chunks: Sequence[bytes], first_number: int) -> None:
        await self._append(self._request(chunks, first_number))

    def _request(
        self, chunks: Sequence[bytes], number: int, *, close: bool = False
    ) -> stream_service_pb2.AppendChunksRequest:
        attempt = self._attempt
        author = stream_service_pb2.StreamAuthor(step_id=attempt.step_id, attempt=attempt.attempt)
        if attempt.run.run_id != self._run_id:
            author.run_id = attempt.run.run_id
        return stream_service_pb2.AppendChunksRequest(
            stream=stream_service_pb2.StreamRef(run_id=self._run_id, name=self._name),
            chunks=chunks,
            content_type=self._content_type,
            writer_id="step",
            writer_chunk=number,
            close=close,
            author=author,
        )
