"""gRPC without a socket: a server and a channel that meet in memory.

Owns the way of a call from a generated stub to a generated servicer registration and back: every message is serialised
and parsed, every call passes the interceptor that real servers have (``holdfast/interceptors.py``), errors arrive as
``AioRpcError`` with their trailers. So what is tested is what is deployed, all but the wire. Must never share a message
between the two sides. Flow control is one message a stream.
"""

from __future__ import annotations

import asyncio
from collections import namedtuple
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import grpc
import grpc.aio

from holdfast.interceptors import Calls

Metadata = tuple[tuple[str, str], ...]

_Details = namedtuple("_Details", ("method", "invocation_metadata"))

#: Called before a call and after it, with its method, its request and what it is: "before" or "after".
Passing = Callable[[str, Any, str], Awaitable[None]]

_END: Final = object()


class InProcessServer:
    """What servicers are registered with. ``add_…_to_server`` of the generated code takes it for a server."""

    def __init__(self) -> None:
        self._calls = Calls([])
        self._handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any) -> None:
        """The same methods as below, in the form of older versions."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        self._handlers.update({f"/{service_name}/{name}": handler for name, handler in method_handlers.items()})

    async def handler(self, method: str) -> Any:
        """Return the handler of a full method name, behind the interceptor of real servers."""

        async def find(details: Any) -> Any:
            return self._handlers[details.method]

        return await self._calls.intercept_service(find, _Details(method, ()))  # type: ignore[arg-type]


class InProcessChannel:
    """A channel to the server that ``find_server`` returns at the time of a call. Stubs take it for a channel."""

    def __init__(self, find_server: Callable[[], Awaitable[InProcessServer]], passing: Passing | None = None) -> None:
        self._find_server = find_server
        self._passing = passing
        self._streams: set[_Stream] = set()

    def unary_unary(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        return partial(self._unary, method, request_serializer, response_deserializer)

    def unary_stream(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        return partial(self._stream, method, "unary_stream", request_serializer, response_deserializer)

    def stream_unary(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        return partial(self._unary, method, request_serializer, response_deserializer, kind="stream_unary")

    def stream_stream(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        return partial(self._stream, method, "stream_stream", request_serializer, response_deserializer)

    async def close(self, grace: float | None = None) -> None:
        """End the streams that are open."""
        streams = list(self._streams)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*(stream.ended() for stream in streams))

    async def _unary(
        self,
        method: str,
        serialize: Any,
        parse: Any,
        request: Any,
        *,
        kind: str = "unary_unary",
        metadata: Metadata = (),
        **_: Any,
    ) -> Any:
        if self._passing is not None:
            await self._passing(method, request, "before")
        handler = await (await self._find_server()).handler(method)
        context = _Context(metadata)
        try:
            answer = await getattr(handler, kind)(_sent(kind, request, serialize, handler), context)
        except grpc.aio.AbortError:
            raise context.error() from None
        if self._passing is not None:
            await self._passing(method, request, "after")
        return parse(handler.response_serializer(answer))

    def _stream(self, method: str, kind: str, serialize: Any, parse: Any, request: Any, **_: Any) -> _Stream:
        async def run(context: _Context) -> None:
            handler = await (await self._find_server()).handler(method)
            context.serialize = handler.response_serializer
            await getattr(handler, kind)(_sent(kind, request, serialize, handler), context)

        stream = _Stream(run, parse)
        self._streams.add(stream)
        stream.when_ended(self._streams.discard)
        return stream


class _Context:
    """What a handler sees of its call."""

    def __init__(self, metadata: Metadata = (), outbox: asyncio.Queue[Any] | None = None) -> None:
        self.serialize: Any = None
        self._metadata = metadata
        self._outbox = outbox
        self._aborted: tuple[Any, str, Any] | None = None

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def time_remaining(self) -> None:
        return None

    async def write(self, message: Any) -> None:
        assert self._outbox is not None, "a unary call writes no messages"
        await self._outbox.put(self.serialize(message))

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
        self._aborted = (code, details, trailing_metadata)
        raise grpc.aio.AbortError

    def error(self) -> grpc.aio.AioRpcError:
        """What the caller of an aborted call gets."""
        assert self._aborted is not None
        code, details, trailers = self._aborted
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details, "")


class _Stream:
    """One streaming call: an async iterator of messages with ``cancel``."""

    def __init__(self, run: Callable[[_Context], Awaitable[None]], parse: Any) -> None:
        self._outbox: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
        self._parse = parse
        self._task = asyncio.create_task(self._serve(run), name="holdfast-stream")

    def when_ended(self, tell: Callable[[_Stream], None]) -> None:
        self._task.add_done_callback(lambda _: tell(self))

    def cancel(self) -> bool:
        return self._task.cancel()

    async def ended(self) -> None:
        await asyncio.gather(self._task, return_exceptions=True)

    async def _serve(self, run: Callable[[_Context], Awaitable[None]]) -> None:
        context = _Context(outbox=self._outbox)
        try:
            await run(context)
        except grpc.aio.AbortError:
            await self._outbox.put(context.error())
        except asyncio.CancelledError:
            # A reader that waits must not wait for ever; what it has not taken is lost with the call.
            if self._outbox.full():
                self._outbox.get_nowait()
            self._outbox.put_nowait(_END)
            raise
        await self._outbox.put(_END)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._task.done() and self._outbox.empty():
            raise StopAsyncIteration
        message = await self._outbox.get()
        if message is _END:
            raise StopAsyncIteration
        if isinstance(message, grpc.aio.AioRpcError):
            raise message
        return self._parse(message)


def _sent(kind: str, request: Any, serialize: Any, handler: Any) -> Any:
    """Return what the handler gets: a message of its own, or an iterator of such."""
    if kind.startswith("unary"):
        return handler.request_deserializer(serialize(request))
    return _copied(request, serialize, handler.request_deserializer)


async def _copied(requests: Any, serialize: Any, parse: Any) -> AsyncIterator[Any]:
    async for request in requests:
        yield parse(serialize(request))
