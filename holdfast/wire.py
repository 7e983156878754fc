"""Refusals on the wire: how a server answers an error of the contract.

Owns the making of ``google.rpc.Status``. The whole status stays below 4 KiB, because larger gRPC trailers are
dropped at random by common clients: optional parts give way in a fixed order, ErrorInfo never does.
Read ``holdfast/refusal.py`` for the table of reasons and ``holdfast/answers.py`` for the way back, which is
offered here too (``from_rpc_error``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from holdfast.answers import DOMAIN, STATUS_KEY, from_rpc_error
from holdfast.refusal import SPECS, Refusal
from holdfast.v1 import error_pb2

#: Bytes of a whole status.
STATUS_BYTES_MAX: Final = 4_095

#: Entries of ErrorInfo.metadata and of BadRequest that are sent at most.
METADATA_ENTRIES_MAX: Final = 16
VIOLATIONS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class _Size:
    """How much of a refusal to put in: bytes of the message and of a metadata value, and which parts."""

    message_bytes: int
    value_bytes: int
    has_extras: bool
    has_missed: bool
    has_detail: bool = True


#: Tried in this order; the first that fits is sent. The last always fits.
_SIZES: Final = (
    _Size(1024, 512, has_extras=True, has_missed=True),
    _Size(512, 512, has_extras=False, has_missed=True),
    _Size(1024, 512, has_extras=True, has_missed=False),
    _Size(512, 512, has_extras=False, has_missed=False),
    _Size(256, 64, has_extras=False, has_missed=False),
    _Size(256, 64, has_extras=False, has_missed=False, has_detail=False),
)

#: Metadata key that names a resource → its type; the first key that a refusal has wins.
_RESOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "message_id": "holdfast.v1.QueueMessage",
        "token": "holdfast.v1.Hook",
        "hook_id": "holdfast.v1.Hook",
        "step_id": "holdfast.v1.Step",
        "wait_id": "holdfast.v1.Wait",
        "event_id": "holdfast.v1.Event",
        "correlation_id": "holdfast.v1.Entity",
        "queue": "holdfast.v1.Queue",
        "workflow_name": "holdfast.v1.Definition",
        "step_name": "holdfast.v1.Definition",
        "request_id": "holdfast.v1.Request",
        "run_id": "holdfast.v1.Run",
    }
)


def to_status(refusal: Refusal) -> status_pb2.Status:
    """Build the ``google.rpc.Status`` of a refusal; always below 4 KiB, always with its ErrorInfo."""
    for size in _SIZES:
        status = _status(refusal, size)
        if status.ByteSize() <= STATUS_BYTES_MAX:
            break
    return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], refusal: Refusal) -> NoReturn:
    """End a call with the status of a refusal. Raises what grpc.aio raises for an aborted call."""
    code, message, trailers = abort_arguments(refusal)
    await context.abort(code, message, trailers)
    raise AssertionError("abort returned")


def abort_arguments(refusal: Refusal) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Return code, message and trailing metadata, for whoever aborts by other means."""
    status = to_status(refusal)
    return grpc.StatusCode[SPECS[refusal.reason].code], status.message, ((STATUS_KEY, status.SerializeToString()),)


def _status(refusal: Refusal, size: _Size) -> status_pb2.Status:
    status = status_pb2.Status(
        code=code_pb2.Code.Value(SPECS[refusal.reason].code), message=_cut(refusal.message, size.message_bytes)
    )
    for detail in _details(refusal, size):
        status.details.add().Pack(detail)
    return status


def _details(refusal: Refusal, size: _Size) -> Iterator[Message]:
    metadata = list(refusal.metadata.items())[:METADATA_ENTRIES_MAX]
    yield error_details_pb2.ErrorInfo(
        reason=refusal.reason,
        domain=DOMAIN,
        metadata={_cut(key, 64): _cut(value, size.value_bytes) for key, value in metadata},
    )
    if refusal.detail is not None and size.has_detail:
        yield refusal.detail if size.has_missed else _without_missed(refusal.detail)
    if refusal.retry_after_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(refusal.retry_after_ms)
        yield retry
    if size.has_extras:
        yield from _extras(refusal)


def _without_missed(detail: Message) -> Message:
    """Drop the events of a StaleSnapshot, all of them: a part would be taken for the whole."""
    if not isinstance(detail, error_pb2.StaleSnapshot) or not detail.missed.events:
        return detail
    short: error_pb2.StaleSnapshot = error_pb2.StaleSnapshot.FromString(detail.SerializeToString())
    short.missed.ClearField("events")
    short.missed.truncated = True
    return short


def _extras(refusal: Refusal) -> Iterator[Message]:
    code = SPECS[refusal.reason].code
    if refusal.violations:
        yield error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=_cut(it.field, 256), description=_cut(it.description, 256)
                )
                for it in refusal.violations[:VIOLATIONS_MAX]
            ]
        )
    if code in ("NOT_FOUND", "ALREADY_EXISTS"):
        yield from _resource(refusal)
    if code == "FAILED_PRECONDITION":
        yield _precondition(refusal)


def _resource(refusal: Refusal) -> Iterator[Message]:
    keys = ("run_id",) if refusal.reason.startswith("RUN_") else tuple(_RESOURCES)
    for key in keys:
        if key in refusal.metadata:
            name = _cut(refusal.metadata[key], 512)
            yield error_details_pb2.ResourceInfo(resource_type=_RESOURCES[key], resource_name=name)
            return


def _precondition(refusal: Refusal) -> Message:
    subject = next((refusal.metadata[key] for key in _RESOURCES if key in refusal.metadata), "")
    violation = error_details_pb2.PreconditionFailure.Violation(
        type=refusal.reason, subject=_cut(subject, 256), description=_cut(refusal.message, 256)
    )
    failure: Message = error_details_pb2.PreconditionFailure(violations=[violation])
    return failure


def _cut(text: str, bytes_max: int) -> str:
    """Cut to a number of UTF-8 bytes, on a character; half characters of odd input become question marks."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[: bytes_max - 3].decode(errors="ignore") + "…"


__all__ = ["DOMAIN", "STATUS_BYTES_MAX", "STATUS_KEY", "abort", "abort_arguments", "from_rpc_error", "to_status"]
