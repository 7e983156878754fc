"""An outbox: chunks on their way to a store, in order, one send at a time, with backpressure.

Owns the waiting between who writes and who sends. What is put while a send is under way goes together into the next, so
a lone chunk leaves at once, a burst costs few sends, and no timer is needed. Putting waits once ``bytes_max`` are not
yet sent; a send that fails, fails every put and flush after it. Used by steps that write a stream and by the store for
WriteStream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

Send = Callable[[Sequence[bytes], int], Awaitable[None]]


class Outbox:
    """Sends chunks in the order of ``put``. ``send`` gets the chunks of one go and the number of the first."""

    def __init__(
        self, send: Send, *, first_number: int = 0, bytes_max: int, send_bytes_max: int, send_chunks_max: int
    ) -> None:
        self._send = send
        self._number = first_number
        self._bytes_max = bytes_max
        self._send_bytes_max = send_bytes_max
        self._send_chunks_max = send_chunks_max
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._failure: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._pending: list[asyncio.Future[None]] = []

    async def put(self, chunk: bytes) -> None:
        """Take a chunk; waits while too much is on its way. Raises what an earlier send raised."""
        async with self._turn:  # its queue is fair, so the order of callers is the order of chunks
            await self._until(lambda: self._size < self._bytes_max)
            self._waiting.append(chunk)
            self._size += len(chunk) + 1
        if self._task is None:
            self._task = asyncio.create_task(self._send_all(), name="outbox")
            self._task.add_done_callback(self._ended)

    async def flush(self) -> int:
        """Wait until everything is sent; returns the next number. Raises what a send raised."""
        await self._until(lambda: self._task is None)
        return self._number

    def stop(self) -> None:
        """Drop what is not sent; who waits gets CancelledError. Idempotent."""
        if self._task is not None:
            self._task.cancel()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while self._failure is None and not condition():
            moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._pending.append(moved)
            await moved
        if self._failure is not None:
            raise self._failure

    async def _send_all(self) -> None:
        while self._waiting:
            chunks = self._next()
            await self._send(chunks, self._number)
            self._number += len(chunks)
            self._size -= sum(map(len, chunks)) + len(chunks)
            self._tell()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self._failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._tell()

    def _tell(self) -> None:
        pending, self._pending = self._pending, []
        for moved in pending:
            if not moved.done():
                moved.set_result(None)

    def _next(self) -> list[bytes]:
        chunks = [self._waiting.popleft()]
        size = len(chunks[0])
        while self._waiting and len(chunks) < self._send_chunks_max:
            size += len(self._waiting[0])
            if size > self._send_bytes_max:
                break
            chunks.append(self._waiting.popleft())
        return chunks
