"""Calling any method of a server by its descriptor, with bytes: for tests that go over every RPC there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from tests.support.store import Refused, take_apart

#: Seconds that one call may take: long enough that only a call that hangs reaches it.
CALL_SECONDS = 30.0

#: What grpc.aio says when its message met a call that was over, and how often that may happen to one call.
_LOST_STATUS = "Internal error from Core"
_ATTEMPTS = 5


def methods_of(services: Sequence[ServiceDescriptor]) -> Iterator[MethodDescriptor]:
    """Yield every method."""
    for service in services:
        yield from service.methods


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


async def call_raw(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    body: bytes = b"",
    *,
    seconds: float = CALL_SECONDS,
    metadata: Sequence[tuple[str, str | bytes]] = (),
) -> grpc.aio.AioRpcError | None:
    """Send one request, half-close, and wait for the first answer; returns the error, None for an answer.

    A server that refuses at once may have ended the call before the client of grpc.aio hands its message over. That one
    then loses the status and says INTERNAL of its own: nothing was sent, so the call is made again.
    """
    for _ in range(_ATTEMPTS):
        error = await _called(channel, method, body, seconds, metadata)
        if error is None or error.details() != _LOST_STATUS:
            break
    return error


async def _called(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    body: bytes,
    seconds: float,
    metadata: Sequence[tuple[str, str | bytes]],
) -> grpc.aio.AioRpcError | None:
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(channel, kind)(path_of(method))
    started: Any = call(
        _once(body) if method.client_streaming else body, timeout=seconds, metadata=tuple(metadata) or None
    )
    try:
        if not method.server_streaming:
            await started
        else:
            await started.read()
    except grpc.aio.AioRpcError as error:
        return error
    finally:
        started.cancel()
    return None


def reason_of(error: grpc.aio.AioRpcError | None) -> str:
    """The reason of the contract, "" for an answer. Fails when an error carries none."""
    return "" if error is None else refusal_of(error).info.reason


def refusal_of(error: Any) -> Refused:
    return take_apart(error)


async def _once(body: bytes) -> Any:
    yield body
