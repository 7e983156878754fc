"""StreamService, the side that reads: ReadStream, GetStream, ListStreams.

Owns the messages of a reader and their order: chunks and resets, progress when there was silence, an end. It pulls like
a watch: a portion is read when the one before it was taken by the transport, so a slow reader holds up nobody and no
writer knows of it. The bells hang before the read that they are about. Where a reader stands is
``rules/stream_reading.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from holdfast.refusal import Refusal, invalid_field
from holdfast.v1 import event_pb2
from holdfast.v1 import stream_service_pb2 as api
from store_service import limits
from store_service.api import checks, queue_checks, stream_checks
from store_service.api.bells import Bell
from store_service.api.parts import Context, Parts
from store_service.engines.stream_contract import ChunkRow
from store_service.rules import clock, stream_reading
from store_service.rules.stream_reading import Item, Portion, Reset, StreamPlace

#: What may change whether a chunk counts. Ends of runs ring every bell anyway.
_STEP_KINDS: Final = (
    event_pb2.EVENT_TYPE_STEP_STARTED,
    event_pb2.EVENT_TYPE_STEP_COMPLETED,
    event_pb2.EVENT_TYPE_STEP_FAILED,
    event_pb2.EVENT_TYPE_STEP_RETRYING,
)
#: For a reader that does not care about steps: no event but the end.
_NO_KINDS: Final = (event_pb2.EVENT_TYPE_UNSPECIFIED,)


class StreamReadingApi:
    """The reading methods of StreamService."""

    _parts: Parts

    async def ReadStream(
        self, request: api.ReadStreamRequest, context: Context
    ) -> AsyncIterator[api.ReadStreamResponse]:
        wish = _check(request)
        with ExitStack() as bells:
            kinds = _STEP_KINDS if wish.cares_for_steps else _NO_KINDS
            bell = bells.enter_context(self._parts.bells.hang(wish.run_id, kinds, wish.name))
            bells.enter_context(self._parts.streams.open(bell.ring))
            reading = _Reading(self._parts, wish, bell, bells)
            async for message in reading.messages():
                yield message

    async def GetStream(self, request: api.GetStreamRequest, context: Context) -> api.GetStreamResponse:
        run_id, name = stream_checks.ref(request.stream)
        info = await self._parts.engine.read(lambda reader: stream_reading.get_stream(reader, run_id, name))
        return api.GetStreamResponse(stream=info)

    async def ListStreams(self, request: api.ListStreamsRequest, context: Context) -> api.ListStreamsResponse:
        checks.identifier(request.run_id, "run_id")
        checks.page(request)
        return await self._parts.engine.read(lambda reader: stream_reading.list_streams(reader, request))


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a reader asks for."""

    run_id: str
    name: str
    start_index: int
    is_snapshot: bool
    is_final: bool
    tells_resets: bool
    interval_seconds: float

    @property
    def cares_for_steps(self) -> bool:
        return self.is_final or self.tells_resets


def _check(request: api.ReadStreamRequest) -> _Wish:
    run_id, name = stream_checks.ref(request.stream)
    mode = checks.enum(api.StreamReadMode, request.mode, "mode")
    if request.with_resets and mode == api.STREAM_READ_MODE_FINAL:
        raise invalid_field("with_resets", "is set, but a final reader never sees what a reset is about")
    interval_ms = queue_checks.bounded_ms(
        request,
        "progress_interval",
        "progress_interval",
        limits.PROGRESS_MS_MIN,
        limits.PROGRESS_MS_MAX,
        limits.PROGRESS_MS_DEFAULT,
    )
    return _Wish(
        run_id=run_id,
        name=name,
        start_index=stream_checks.index(request.start_index, "start_index"),
        is_snapshot=request.snapshot,
        is_final=mode == api.STREAM_READ_MODE_FINAL,
        tells_resets=request.with_resets,
        interval_seconds=interval_ms / 1000,
    )


class _Reading:
    """One reader under way."""

    def __init__(self, parts: Parts, wish: _Wish, bell: Bell, bells: ExitStack) -> None:
        self._parts = parts
        self._wish = wish
        self._bell = bell
        self._bells = bells
        self._place = StreamPlace(wish.run_id, wish.name, is_final=wish.is_final, tells_resets=wish.tells_resets)
        self._listened_to = {wish.run_id}
        self._silent_since = _loop_time()

    async def messages(self) -> AsyncIterator[api.ReadStreamResponse]:
        wish, place = self._wish, self._place
        await self._parts.engine.read(
            lambda reader: place.begin(reader, wish.start_index, is_snapshot=wish.is_snapshot)
        )
        is_place_told = wish.start_index >= 0
        while not self._parts.streams.is_draining:
            portion = await self._read()
            for message in self._told(portion):
                is_place_told = True
                yield message
            if portion.is_ended:
                yield self._message(portion, place.next_index, end=api.ReadStreamEnd(size_bytes=portion.size_bytes))
                return
            if not self._silence_left() or (portion.is_at_end and not is_place_told):
                # A place counted from the end is told at once, so that a reader that breaks off comes back to it.
                is_place_told = True
                yield self._progress(portion)
            if portion.is_at_end and not self._listens_to_more():
                await self._bell.wait(self._silence_left())
        raise _draining(place.next_index)

    async def _read(self) -> Portion:
        share = self._parts.streams.share_bytes
        return await self._parts.engine.read(lambda reader: self._place.read(reader, share))

    def _told(self, portion: Portion) -> Iterator[api.ReadStreamResponse]:
        for item in portion.items:
            if isinstance(item.what, ChunkRow):
                yield self._of_chunk(portion, item, item.what)
            else:
                yield self._of_reset(portion, item, item.what)

    def _of_chunk(self, portion: Portion, item: Item, chunk: ChunkRow) -> api.ReadStreamResponse:
        message = self._message(portion, item.next_index, data=chunk.data)
        if chunk.step_id:
            message.author.CopyFrom(stream_reading.author_of_chunk(chunk).to_message(self._wish.run_id))
        return message

    def _of_reset(self, portion: Portion, item: Item, reset: Reset) -> api.ReadStreamResponse:
        author = reset.author.to_message(self._wish.run_id)
        return self._message(portion, item.next_index, reset=api.StreamReset(author=author))

    def _progress(self, portion: Portion) -> api.ReadStreamResponse:
        server_time = clock.to_timestamp(self._parts.clock())
        return self._message(portion, self._place.next_index, progress=api.ReadStreamProgress(server_time=server_time))

    def _message(self, portion: Portion, next_index: int, **kind: Any) -> api.ReadStreamResponse:
        self._silent_since = _loop_time()
        return api.ReadStreamResponse(next_index=next_index, content_type=portion.content_type, **kind)

    def _listens_to_more(self) -> bool:
        """Hang the bell for runs whose steps matter now; True when there were new ones, so that a read must follow."""
        new = self._place.runs - self._listened_to
        for run_id in new:
            self._bells.enter_context(self._parts.bells.hang_also(self._bell, run_id))
        self._listened_to |= new
        return bool(new)

    def _silence_left(self) -> float:
        return max(0.0, self._silent_since + self._wish.interval_seconds - _loop_time())


def _draining(next_index: int) -> Refusal:
    return Refusal(
        "NOT_READY",
        f"this store is shutting down: read again from index {next_index}",
        metadata={"next_index": next_index},
        retry_after_ms=500,
    )


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
