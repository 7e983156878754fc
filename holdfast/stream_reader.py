"""Reading a stream of a run: items, or chunks with their authors, live or final.

Owns the reader's place over reconnects: every message says where to go on, so there is no gap and no duplicate whatever
restarts. Each iteration is a reader of its own. Items are decoded by ``holdfast/stream_items.py``; the patience between
two tries is ``holdfast/connection.py``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final, Generic, TypeVar

import grpc

from holdfast.connection import PASSING, Connection, Patience
from holdfast.stream_items import Chunk, Reset, ToldResets, check_name, decode_item
from holdfast.v1 import runtime_service_pb2, stream_service_pb2

_T = TypeVar("_T", covariant=True)

_MODES: Final = {
    "live": stream_service_pb2.STREAM_READ_MODE_LIVE,
    "final": stream_service_pb2.STREAM_READ_MODE_FINAL,
}


class StreamReader(Generic[_T]):
    """A stream to be read: iterate it for items, or ``chunks()`` for items with index and author.

    Ends when the stream is closed or its run has ended; a stream that does not exist yet is waited for. Raises
    RunNotFound, SerializationError for an item that does not fit the type, NotReady when patience is at its end.
    """

    def __init__(
        self, connection: Connection, run_id: str, name: str, *, kind: Any, start_index: int, mode: str
    ) -> None:
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(_MODES)}, got {mode!r}")
        self._connection = connection
        self._kind = kind
        self._request = runtime_service_pb2.ReadRunStreamRequest(
            run_id=run_id, name=check_name(name), start_index=start_index, mode=_MODES[mode]
        )

    def __aiter__(self) -> AsyncIterator[_T]:
        return self._items()

    async def chunks(self) -> AsyncIterator[Chunk[_T] | Reset]:
        """Yield chunks, and live a Reset once a newer attempt of a step has begun; each once, in order."""
        is_live = self._request.mode == stream_service_pb2.STREAM_READ_MODE_LIVE
        told = ToldResets()
        async with aclosing(self._messages(with_resets=is_live)) as messages:
            async for message in messages:
                if message.HasField("reset") and told.is_new(message.reset.author):
                    yield Reset(message.reset.author.step_id, message.reset.author.attempt)
                elif message.HasField("data"):
                    told.saw(message.author)
                    yield self._chunk(message)

    async def _items(self) -> AsyncIterator[_T]:
        async with aclosing(self._messages(with_resets=False)) as messages:
            async for message in messages:
                if message.HasField("data"):
                    yield self._chunk(message).data

    def _chunk(self, message: runtime_service_pb2.ReadRunStreamResponse) -> Chunk[_T]:
        item: _T = decode_item(self._kind, message.data, message.content_type)
        return Chunk(message.next_index - 1, message.author.step_id, message.author.attempt, item)

    async def _messages(self, *, with_resets: bool) -> AsyncGenerator[runtime_service_pb2.ReadRunStreamResponse, None]:
        """Yield the messages of as many calls as it takes, up to the end."""
        request = runtime_service_pb2.ReadRunStreamRequest()
        request.CopyFrom(self._request)
        request.with_resets = with_resets
        patience = self._connection.patience()
        while True:
            try:
                async with aclosing(self._call(request, patience)) as messages:
                    async for message in messages:
                        yield message
                        if message.end:
                            return
            except PASSING as error:
                await patience.wait(error)

    async def _call(
        self, request: runtime_service_pb2.ReadRunStreamRequest, patience: Patience
    ) -> AsyncGenerator[runtime_service_pb2.ReadRunStreamResponse, None]:
        """Yield the messages of one call; the request remembers where the next one begins."""
        call = self._connection.stream("ReadRunStream", request)
        try:
            async for message in call:
                self._connection.heard()
                patience.renew()
                request.start_index = message.next_index
                yield message
        except grpc.RpcError as error:
            raise self._connection.typed(error) from None
        finally:
            call.cancel()
