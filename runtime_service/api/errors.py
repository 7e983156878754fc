"""Errors of the store, told to the caller of the runtime: same reason, same message, same detail.

Two exceptions: a store that nobody answers for is NOT_READY, and a store that does not take this runtime's token is
NOT_READY as well, because the caller's own token is not at fault. The translation to a status is ``holdfast/wire.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import structlog
from google.protobuf.message import Message

from holdfast import errors
from holdfast.refusal import SPECS, Refusal
from holdfast.v1 import error_pb2

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

#: Milliseconds after which a caller may look again whether the store is back.
_RETRY_AFTER_MS: Final = 500


async def answered(call: Awaitable[Answer]) -> Answer:
    """Await a call's answer; an error of the store becomes a Refusal."""
    try:
        return await call
    except errors.HoldfastError as error:
        raise as_refusal(error) from error


async def each_answered(stream: AsyncIterator[Answer]) -> AsyncIterator[Answer]:
    """Like ``answered``, for a stream."""
    try:
        async for message in stream:
            yield message
    except errors.HoldfastError as error:
        raise as_refusal(error) from error


def as_refusal(error: errors.HoldfastError) -> Refusal:
    """Build the refusal that says what the store said. Re-raises what no store can have said: that is our bug."""
    if isinstance(error, errors.Unauthenticated | errors.PermissionDenied):
        log.error("the store does not take this runtime's token: set HOLDFAST_STORE_TOKEN", error=str(error))
        return _not_ready("the store does not take this runtime's token: its operator must set HOLDFAST_STORE_TOKEN")
    if error.reason in SPECS:
        build = _DETAILS.get(type(error))
        return Refusal(
            error.reason,
            str(error),
            metadata=error.metadata,
            detail=build(error) if build is not None else None,
            violations=error.violations if isinstance(error, errors.InvalidRequest) else (),
            retry_after_ms=error.retry_after_ms,
        )
    if isinstance(error, errors.NotReady):
        return _not_ready(f"the store behind this runtime does not answer: {error}")
    raise error


def _not_ready(message: str) -> Refusal:
    return Refusal("NOT_READY", message, retry_after_ms=_RETRY_AFTER_MS)


def _exists(error: Any) -> Message:
    return error_pb2.EntityExists(
        run_id=error.run_id, created_seq=_number(error, "created_seq"), same_content=error.same_content
    )


def _illegal(error: Any) -> Message:
    return error_pb2.IllegalTransition(
        run_id=error.run_id,
        correlation_id=error.correlation_id,
        current_status=error.current_status,
        current_seq=_number(error, "current_seq"),
    )


def _limit(error: Any) -> Message:
    return error_pb2.LimitExceeded(
        limit=getattr(error, "limit", "") or error.metadata.get("limit", ""),
        max=getattr(error, "max", 0) or _number(error, "max"),
        actual=getattr(error, "actual", 0) or _number(error, "actual"),
    )


def _lease_lost(error: Any) -> Message:
    detail = error_pb2.LeaseLost(message_id=error.message_id, taken_over=error.taken_over)
    if error.expire_time_ms:
        detail.expire_time.FromMilliseconds(error.expire_time_ms)
    return detail


def _cursor_expired(error: Any) -> Message:
    return error_pb2.CursorExpired(oldest_cursor=error.oldest_cursor, oldest_position=error.oldest_position)


def _number(error: errors.HoldfastError, key: str) -> int:
    text = error.metadata.get(key, "")
    return int(text) if text.lstrip("-").isdecimal() else 0


#: Error → its typed detail, for the errors that a call of the front door can meet.
_DETAILS: Final[Mapping[type[errors.HoldfastError], Callable[[Any], Message]]] = MappingProxyType(
    {
        errors.RunExists: _exists,
        errors.EntityExists: _exists,
        errors.RunTerminal: _illegal,
        errors.IllegalTransition: _illegal,
        errors.LimitExceeded: _limit,
        errors.Throttled: _limit,
        errors.CursorExpired: _cursor_expired,
        errors.LeaseLost: _lease_lost,
    }
)
