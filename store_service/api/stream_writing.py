"""StreamService, the side that writes: AppendChunks, WriteStream, CloseStream.

Owns checks and answers; what an append means is ``rules/streams.py``. WriteStream is appends as they come: what arrives
while one commits goes together into the next, and the client is read on only while little is on its way, so that a fast
writer costs bounded memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from holdfast.outbox import Outbox
from holdfast.refusal import Refusal, invalid_field
from holdfast.until import until
from holdfast.v1 import stream_service_pb2 as api
from store_service import limits
from store_service.api import stream_checks
from store_service.api.parts import Context, Parts
from store_service.engines.contract import Transaction
from store_service.rules import stream_reading, streams
from store_service.rules.streams import Appended, StreamAppend


class StreamWritingApi:
    """The writing methods of StreamService."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def AppendChunks(self, request: api.AppendChunksRequest, context: Context) -> api.AppendChunksResponse:
        info, done = await _append(self._parts, stream_checks.append(request))
        return api.AppendChunksResponse(
            stream=info, next_writer_chunk=done.next_chunk, skipped_count=done.skipped_count
        )

    async def CloseStream(self, request: api.CloseStreamRequest, context: Context) -> api.CloseStreamResponse:
        run_id, name = stream_checks.ref(request.stream)
        now_ms = self._parts.clock()

        def unit(tx: Transaction) -> api.StreamInfo:
            return stream_reading.info_of(tx, streams.close(tx, run_id, name, now_ms))

        return api.CloseStreamResponse(stream=await self._parts.engine.write(unit))

    async def WriteStream(
        self, requests: AsyncIterator[api.WriteStreamRequest], context: Context
    ) -> api.WriteStreamResponse:
        first = await anext(requests, None)
        if first is None or first.WhichOneof("command") != "open":
            raise invalid_field("open", "must be the first message")
        write = _Write(self._parts, stream_checks.opening(first.open))
        try:
            return await write.take(requests)
        finally:
            write.stop()


class _Write:
    """One WriteStream under way."""

    def __init__(self, parts: Parts, opening: StreamAppend) -> None:
        self._parts = parts
        self._opening = opening
        self._skipped_count = 0
        self._outbox = Outbox(
            self._send,
            first_number=opening.writer_chunk,
            bytes_max=limits.WRITE_BUFFER_BYTES_MAX,
            send_bytes_max=limits.APPEND_BYTES_MAX,
            send_chunks_max=limits.APPEND_CHUNKS_MAX,
        )

    async def take(self, requests: AsyncIterator[api.WriteStreamRequest]) -> api.WriteStreamResponse:
        count = 0
        drained = asyncio.Event()
        with self._parts.streams.open(drained.set):
            async for request in until(drained, requests):
                if request.WhichOneof("command") != "data":
                    raise invalid_field("data", "is not set; every message after the first is a chunk")
                stream_checks.size(request.data, f"data[{count}]")
                await self._outbox.put(request.data)
                count += 1
            next_chunk = await self._outbox.flush()
        if drained.is_set():
            raise _draining(next_chunk)
        return await self._answer(next_chunk, count)

    def stop(self) -> None:
        self._outbox.stop()

    async def _send(self, chunks: Sequence[bytes], first_number: int) -> None:
        _, done = await _append(self._parts, self._part(chunks, first_number))
        self._skipped_count += done.skipped_count

    def _part(self, chunks: Sequence[bytes], number: int, *, closes: bool = False) -> StreamAppend:
        # Without a writer_id there is no numbering that the store could compare.
        number = number if self._opening.writer_id else 0
        return replace(self._opening, chunks=tuple(chunks), writer_chunk=number, closes=closes)

    async def _answer(self, next_chunk: int, count: int) -> api.WriteStreamResponse:
        if self._opening.closes:
            info, _ = await _append(self._parts, self._part((), next_chunk, closes=True))
        else:
            run_id, name = self._opening.run_id, self._opening.name
            info = await self._parts.engine.read(lambda reader: stream_reading.get_stream(reader, run_id, name))
        return api.WriteStreamResponse(
            stream=info,
            next_writer_chunk=next_chunk if self._opening.writer_id else count,
            skipped_count=self._skipped_count,
        )


async def _append(parts: Parts, request: StreamAppend) -> tuple[api.StreamInfo, Appended]:
    now_ms = parts.clock()

    def unit(tx: Transaction) -> tuple[api.StreamInfo, Appended]:
        done = streams.append(tx, request, now_ms)
        return stream_reading.info_of(tx, done.stream), done

    return await parts.engine.write(unit)


def _draining(next_chunk: int) -> Refusal:
    return Refusal(
        "NOT_READY",
        f"this store is shutting down: write again from chunk {next_chunk} of the writer",
        metadata={"next_writer_chunk": next_chunk},
        retry_after_ms=500,
    )
