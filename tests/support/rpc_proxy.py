"""A gRPC proxy that does to whole calls what retries and timeouts do: told twice, or done and not answered.

It knows no messages: bytes go through it. Unary calls pass through a `CallFault`, streams message by message through a
`Flow` (``session_faults.py``). What happens to bytes on their way is ``fault_proxy.py``.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, Self

import grpc
import grpc.aio
from grpc.aio import EOF  # type: ignore[attr-defined]  # missing in its stubs

import holdfast.v1
from tests.support.session_faults import Broken, Flow, Flows, Passing

#: Makes the call for the client, ``repeat()`` as often as it likes, and returns the answer that the client gets.
CallFault = Callable[[str, Callable[[], Awaitable[bytes]]], Awaitable[bytes]]


def _streaming_methods() -> Iterator[str]:
    """Yield the paths of all methods of the contract that have a stream on either side."""
    for found in pkgutil.iter_modules(holdfast.v1.__path__):
        file = importlib.import_module(f"holdfast.v1.{found.name}")
        for service in getattr(getattr(file, "DESCRIPTOR", None), "services_by_name", {}).values():
            for method in service.methods:
                if method.client_streaming or method.server_streaming:
                    yield f"/{service.full_name}/{method.name}"


_STREAMING: Final = frozenset(_streaming_methods())

#: Seconds that the second of two calls may take longer than the first.
_SECOND_SECONDS: Final = 0.3

#: Trailers that gRPC itself writes and does not let pass through.
_OWN_TRAILERS = ("grpc-status", "grpc-message")


class LostReply(Exception):
    """The call was made and its client hears that the server is not there."""


async def passing(method: str, call: Callable[[], Awaitable[bytes]]) -> bytes:
    """Change nothing."""
    return await call()


def doubled(rng: random.Random) -> CallFault:
    """Make every call twice, one after the other or both at once, and answer with either answer.

    The second one of a long poll waits for something else; it is not waited for, and its answer reaches nobody.
    """
    under_way: set[asyncio.Task[bytes]] = set()

    def ended(task: asyncio.Task[bytes]) -> None:
        under_way.discard(task)
        if not task.cancelled():
            task.exception()  # taken note of, whether its client hears of it or not

    def begun(call: Callable[[], Awaitable[bytes]]) -> asyncio.Task[bytes]:
        task: asyncio.Task[bytes] = asyncio.ensure_future(call())
        under_way.add(task)
        task.add_done_callback(ended)
        return task

    async def fault(method: str, call: Callable[[], Awaitable[bytes]]) -> bytes:
        calls = [begun(call)]
        if rng.random() < 0.5:
            await asyncio.wait(calls)
        calls.append(begun(call))
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        done, _ = await asyncio.wait(calls, timeout=_SECOND_SECONDS)
        return rng.choice(sorted(done, key=calls.index)).result()

    return fault


def replies_lost(rng: random.Random, share: float) -> CallFault:
    """Make every call, and lose this share of the answers."""

    async def fault(method: str, call: Callable[[], Awaitable[bytes]]) -> bytes:
        answer = await call()
        if rng.random() < share:
            raise LostReply(method)
        return answer

    return fault


class RpcProxy:
    """Listens on ```address`` and makes every call at ``target``. ``methods`` counts unary calls by their names."""

    def __init__(self, target: str, fault: CallFault = passing, flows: Flows = lambda method: Passing()) -> None:
        self.target = target
        self.fault = fault
        self.flows = flows
        self.address = ""
        self.methods: dict[str, int] = {}
        self._channel = grpc.aio.insecure_channel(target)
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        self._server.add_generic_rpc_handlers((_Handlers(self),))

    async def __aenter__(self) -> Self:
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(0)
        await self._channel.close()

    def handler_of(self, method: str) -> grpc.RpcMethodHandler:
        """Return how one method is passed on."""

        # Coroutine functions, and not plain ones that return coroutines: gRPC asks which they are.
        async def unary(request: bytes, context: Any) -> bytes:
            return await self._unary(method, request, context)

        async def stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async for message in self._stream(method, requests, context):
                yield message

        if method in _STREAMING:
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    async def _unary(self, method: str, request: bytes, context: Any) -> bytes:
        self.methods[method.rpartition("/")[2]] = self.methods.get(method.rpartition("/")[2], 0) + 1
        call = self._channel.unary_unary(method)

        async def once() -> bytes:
            answer: bytes = await call(request, timeout=context.time_remaining(), metadata=_credentials(context))
            return answer

        try:
            return await self.fault(method, once)
        except LostReply:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
            raise
        except grpc.aio.AioRpcError as error:
            await _fail(context, error)
            raise

    async def _stream(self, method: str, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        flow, call = self.flows(method), self._channel.stream_stream(method)(metadata=_credentials(context))
        sending = asyncio.create_task(_send(flow, requests, call))
        try:
            while (message := await _next(call, sending)) is not EOF:
                for body in flow.down(message):
                    yield body
        except Broken:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the stream was cut")
        except grpc.aio.AioRpcError as error:
            await _fail(context, error)
        finally:
            sending.cancel()
            call.cancel()


async def _send(flow: Flow, requests: AsyncIterator[bytes], call: Any) -> None:
    async for message in requests:
        for body in flow.up(message):
            await call.write(body)
    await call.done_writing()


async def _next(call: Any, sending: asyncio.Task[None]) -> Any:
    """Wait for the next message of a call. Raises what ended the sending, if that comes first."""
    reading = asyncio.ensure_future(call.read())
    await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
    if sending.done() and isinstance(error := sending.exception(), Broken):
        reading.cancel()
        raise error
    return await reading


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, proxy: RpcProxy) -> None:
        self._proxy = proxy

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        return self._proxy.handler_of(handler_call_details.method)


def _credentials(context: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((key, value) for key, value in context.invocation_metadata() if key == "authorization")


async def _fail(context: Any, error: grpc.aio.AioRpcError) -> None:
    trailers = tuple((key, value) for key, value in error.trailing_metadata() or () if key not in _OWN_TRAILERS)
    await context.abort(error.code(), error.details() or "", trailers)
