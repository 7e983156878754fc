"""What stands around every call of both servers: draining, the guard, and the translation of errors.

Owns the one wrapper that a call passes through: it is admitted or refused, runs, and whatever goes wrong becomes an
answer of the contract. A refusal is an answer; anything else is a bug, told to the client as an incident id and to the
log with everything. Must never put a traceback on the wire or a token into a log. Read ``security/guard.py`` for who
is let in, ``serving.py`` for the server around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from ulid import ULID

from holdfast.dispatch import Namespaces
from holdfast.refusal import Refusal, invalid_field
from holdfast.security.clients import Client
from holdfast.security.guard import Guard
from holdfast.wire import abort

log = structlog.get_logger(__name__)

#: Raises Refusal when a call (full method name) may not run now.
Admission = Callable[[str], None]

#: Services that answer without credentials and while draining: how orchestrators look at a server.
HEALTH: Final = "/grpc.health.v1.Health/"


class Calls(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # not generic at run time
    """Wraps every method of a server once; ``admissions`` are asked in order before a call runs, then the ``guard``.

    ``namespaces`` say whose servicers answer the client that the guard found; without them, those registered.
    Handlers may be coroutines (unary) or async generators (streams); they raise Refusal for an error answer.
    """

    def __init__(
        self, admissions: Sequence[Admission], guard: Guard | None = None, namespaces: Namespaces | None = None
    ) -> None:
        self._admissions = tuple(admissions)
        self._guard = guard
        self._namespaces = namespaces
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._running = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def wait_idle(self, seconds: float) -> bool:
        """Wait until no call runs, at most ``seconds``; returns whether that came about. Health calls do not count."""
        try:
            async with asyncio.timeout(seconds):
                await self._is_idle.wait()
        except TimeoutError:
            return False
        return True

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        method = handler_call_details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(HEALTH):
            return handler
        wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        codecs = {
            "request_deserializer": _forgiving(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        match handler.request_streaming, handler.response_streaming:
            case False, False:
                return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), **codecs)
            case False, True:
                return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream), **codecs)
            case True, False:
                upload = self._unary(method, handler.stream_unary, is_stream=True)
                return grpc.stream_unary_rpc_method_handler(upload, **codecs)
        return grpc.stream_stream_rpc_method_handler(self._stream(method, handler.stream_stream), **codecs)

    def _unary(
        self, method: str, call: Callable[..., Awaitable[Any]], *, is_stream: bool = False
    ) -> Callable[..., Awaitable[Any]]:
        async def answer(request: Any, context: Any) -> Any:
            async def run(client: Client | None) -> Any:
                return await self._call_for(client, method, call)(_readable(request), context)

            return await self._answer(method, context, run, is_stream=is_stream)

        return answer

    def _stream(self, method: str, call: Callable[..., AsyncIterator[Any]]) -> Callable[..., Awaitable[None]]:
        async def answer(request: Any, context: Any) -> None:
            async def run(client: Client | None) -> None:
                answering = self._call_for(client, method, call)
                # The generator is closed here, not by the garbage collector: its `finally` gives leases back.
                async with aclosing(answering(_readable(request), context)) as messages:
                    async for message in messages:
                        if not await _written(context, message):
                            return

            await self._answer(method, context, run, is_stream=True)

        return answer

    def _call_for(self, client: Client | None, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return call if self._namespaces is None else self._namespaces.call_for(client, method, call)

    async def _answer(
        self, method: str, context: Any, run: Callable[[Client | None], Awaitable[Any]], *, is_stream: bool
    ) -> Any:
        self._running += 1
        self._is_idle.clear()
        try:
            for admit in self._admissions:
                admit(method)
            if self._guard is None:
                return await run(None)
            return await self._guard.run(method, context, run, is_stream=is_stream)
        except Refusal as refusal:
            await abort(context, refusal)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await abort(context, incident(method, error))
        finally:
            self._running -= 1
            if not self._running:
                self._is_idle.set()


async def _written(context: Any, message: Any) -> bool:
    """Send a message of a stream; False when the client has gone, which nobody has to be told."""
    try:
        await context.write(message)
    except grpc.aio.BaseError:
        # gRPC's own: the call was cut off before or while the message was on its way.
        return False
    return True


def incident(method: str, error: Exception) -> Refusal:
    """Put a bug into the log and return what the client is told of it: where it happened and an id to look for."""
    incident_id = f"inc_{ULID()}"
    log.error("a call failed", method=method, incident_id=incident_id, exc_info=error)
    return Refusal(
        "INTERNAL",
        f"{method} failed because of a bug in this server; its log says more under {incident_id}",
        metadata={"method": method, "incident_id": incident_id},
    )


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A request that is no message of its type."""

    description: str


def _forgiving(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    # grpc answers a request that cannot be parsed with UNKNOWN and no detail; the contract says INVALID_FIELD.
    def read(body: bytes) -> Any:
        try:
            return deserialize(body)
        except DecodeError as error:
            return _Unreadable(str(error))

    return read


def _readable(request: Any) -> Any:
    """Return a request, or a stream of requests, that refuses what is no message of its type."""
    return _require_each_readable(request) if hasattr(request, "__aiter__") else _require_readable(request)


def _require_readable(request: Any) -> Any:
    if isinstance(request, _Unreadable):
        raise invalid_field("request", f"is not a message of this method: {request.description}")
    return request


async def _require_each_readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _require_readable(request)
