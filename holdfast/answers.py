"""Answers of the wire: how a client understands an error of the contract.

Owns the way from a failed call to the exception tree of ``holdfast/errors.py``: a table of reasons, and a table of bare
status codes for failures that no holdfast server answered. Must never lose ``reason`` or ``metadata``. Read
``holdfast/wire.py`` for the way out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from holdfast import errors
from holdfast.refusal import FieldViolation
from holdfast.v1 import error_pb2

_Detail = TypeVar("_Detail", bound=Message)
_Builder = Callable[["_Answer"], errors.HoldfastError]

DOMAIN: Final = "holdfast"
STATUS_KEY: Final = "grpc-status-details-bin"


def from_rpc_error(error: grpc.RpcError) -> errors.HoldfastError:
    """Translate a failed call into the typed error of the contract.

    A failure that no holdfast server answered (no details) is told by its code and has an empty ``reason``:
    UNAVAILABLE and DEADLINE_EXCEEDED are NotReady.
    """
    call: Any = error
    answer = _answer(call)
    if answer is None:
        return _UNANSWERED.get(call.code(), errors.HoldfastError)(f"{call.code().name}: {call.details()}")
    return _from_answer(answer)


def from_status(body: bytes) -> errors.HoldfastError:
    """Translate a serialized google.rpc.Status, as a session carries it, into the typed error of the contract."""
    try:
        status = status_pb2.Status.FromString(body)
    except DecodeError:
        return errors.HoldfastError("the answer is an error that cannot be read")
    answer = _answer_of(status)
    return errors.HoldfastError(status.message) if answer is None else _from_answer(answer)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A status with its ErrorInfo taken out."""

    reason: str
    message: str
    metadata: Mapping[str, str]
    status: status_pb2.Status

    def detail(self, kind: type[_Detail]) -> _Detail:
        """Return the detail of a type; an empty one when the server left it out."""
        found = kind()
        any(packed.Unpack(found) for packed in self.status.details)
        return found


def _answer(call: Any) -> _Answer | None:
    for key, value in call.trailing_metadata() or ():
        if key == STATUS_KEY:
            try:
                return _answer_of(status_pb2.Status.FromString(value))
            except DecodeError:
                return None
    return None


def _answer_of(status: status_pb2.Status) -> _Answer | None:
    info = error_details_pb2.ErrorInfo()
    for packed in status.details:
        if packed.Unpack(info) and info.domain == DOMAIN:
            return _Answer(info.reason, status.message, dict(info.metadata), status)
    return None


def _from_answer(answer: _Answer) -> errors.HoldfastError:
    # A reason that is newer than this client is still an error with its reason and message.
    error = BUILDERS.get(answer.reason, _plain(errors.HoldfastError))(answer)
    error.reason = answer.reason
    error.metadata = answer.metadata
    retry = answer.detail(error_details_pb2.RetryInfo)
    error.retry_after_ms = retry.retry_delay.ToMilliseconds() if retry.HasField("retry_delay") else None
    return error


def _plain(kind: type[errors.HoldfastError]) -> _Builder:
    return lambda answer: kind(answer.message)


def _invalid(kind: type[errors.InvalidRequest]) -> _Builder:
    def build(answer: _Answer) -> errors.HoldfastError:
        found = answer.detail(error_details_pb2.BadRequest).field_violations
        return kind(answer.message, violations=[FieldViolation(it.field, it.description) for it in found])

    return build


def _limit(answer: _Answer) -> errors.HoldfastError:
    detail = answer.detail(error_pb2.LimitExceeded)
    return errors.LimitExceeded(answer.message, limit=detail.limit, max=detail.max, actual=detail.actual)


def _not_found(answer: _Answer) -> errors.HoldfastError:
    is_hook = not answer.metadata.keys().isdisjoint(("token", "hook_id"))
    return errors.HookNotFound(answer.message) if is_hook else errors.EntityNotFound(answer.message)


def _exists(kind: type[errors.RunExists] | type[errors.EntityExists]) -> _Builder:
    def build(answer: _Answer) -> errors.HoldfastError:
        detail = answer.detail(error_pb2.EntityExists)
        return kind(answer.message, run_id=detail.run_id, same_content=detail.same_content)

    return build


def _hook_conflict(answer: _Answer) -> errors.HoldfastError:
    detail = answer.detail(error_pb2.HookTokenConflict)
    return errors.HookConflict(detail.token, detail.holder_run_id)


def _stale(kind: type[errors.StaleSnapshot]) -> _Builder:
    def build(answer: _Answer) -> errors.HoldfastError:
        detail = answer.detail(error_pb2.StaleSnapshot)
        return kind(
            answer.message,
            state_updated_at=detail.state_updated_at if detail.HasField("state_updated_at") else None,
            marker=detail.out_of_band_at,
            head_seq=detail.missed.head_seq or detail.required_seq,
            missed=() if detail.missed.truncated else detail.missed.events,
            cause=error_pb2.StaleCause.Name(detail.cause).removeprefix("STALE_CAUSE_"),
        )

    return build


def _refused_by_status(kind: type[errors.IllegalTransition] | type[errors.RunTerminal]) -> _Builder:
    def build(answer: _Answer) -> errors.HoldfastError:
        detail = answer.detail(error_pb2.IllegalTransition)
        return kind(
            answer.message,
            run_id=detail.run_id,
            correlation_id=detail.correlation_id,
            current_status=detail.current_status,
            event_index=detail.event_index,
        )

    return build


def _too_early(answer: _Answer) -> errors.HoldfastError:
    detail = answer.detail(error_pb2.RetryTooEarly)
    return errors.RetryTooEarly(answer.message, retry_time_ms=detail.retry_time.ToMilliseconds())


def _lease_lost(answer: _Answer) -> errors.HoldfastError:
    detail = answer.detail(error_pb2.LeaseLost)
    return errors.LeaseLost(
        answer.message,
        message_id=detail.message_id,
        taken_over=detail.taken_over,
        expire_time_ms=detail.expire_time.ToMilliseconds(),
    )


def _cursor_expired(answer: _Answer) -> errors.HoldfastError:
    detail = answer.detail(error_pb2.CursorExpired)
    return errors.CursorExpired(
        answer.message, oldest_cursor=detail.oldest_cursor, oldest_position=detail.oldest_position
    )


#: Reason → the exception made from an answer. Complete: a test compares it with the contract.
BUILDERS: Final[Mapping[str, _Builder]] = MappingProxyType(
    {
        "INVALID_FIELD": _invalid(errors.InvalidRequest),
        "INVALID_CURSOR": _invalid(errors.InvalidCursor),
        "TOO_LARGE": _limit,
        "QUOTA_EXCEEDED": _limit,
        "RUN_NOT_FOUND": _plain(errors.RunNotFound),
        "ENTITY_NOT_FOUND": _not_found,
        "RESOURCE_NOT_FOUND": _plain(errors.ResourceNotFound),
        "NOT_REGISTERED": _plain(errors.NotRegistered),
        "RUN_EXISTS": _exists(errors.RunExists),
        "ENTITY_EXISTS": _exists(errors.EntityExists),
        "HOOK_TOKEN_CONFLICT": _hook_conflict,
        "REQUEST_ID_REUSED": _plain(errors.RequestIdReused),
        "STALE_SNAPSHOT": _stale(errors.StaleSnapshot),
        "SNAPSHOT_AHEAD": _stale(errors.SnapshotAhead),
        "ILLEGAL_TRANSITION": _refused_by_status(errors.IllegalTransition),
        "RUN_TERMINAL": _refused_by_status(errors.RunTerminal),
        "RETRY_TOO_EARLY": _too_early,
        "LEASE_LOST": _lease_lost,
        "STREAM_CLOSED": _plain(errors.StreamClosed),
        "CURSOR_EXPIRED": _cursor_expired,
        "WRITE_CONFLICT": _plain(errors.WriteConflict),
        "THROTTLED": _plain(errors.Throttled),
        "NOT_READY": _plain(errors.NotReady),
        "UNAUTHENTICATED": _plain(errors.Unauthenticated),
        "PERMISSION_DENIED": _plain(errors.PermissionDenied),
        "INTERNAL": _plain(errors.InternalError),
        "CORRUPT_LOG": _plain(errors.CorruptLog),
    }
)

#: Code of a failure without details → exception: gRPC itself, a proxy or another server spoke.
_UNANSWERED: Final[Mapping[grpc.StatusCode, type[errors.HoldfastError]]] = MappingProxyType(
    {
        grpc.StatusCode.UNAVAILABLE: errors.NotReady,
        grpc.StatusCode.DEADLINE_EXCEEDED: errors.NotReady,
        grpc.StatusCode.CANCELLED: errors.NotReady,
        grpc.StatusCode.RESOURCE_EXHAUSTED: errors.LimitExceeded,
        grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
        grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
        grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
        grpc.StatusCode.INTERNAL: errors.InternalError,
        grpc.StatusCode.UNKNOWN: errors.InternalError,
    }
)
