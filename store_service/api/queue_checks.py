"""Checks of what queue calls bring: messages to send, leases to take, receipts to settle.

Owns the fields of `NewQueueMessage` and the bounds of receiving. Like ``event_checks.py``: fields of the whole request
first, sizes after, payloads brought into their stored form in place, no look at stored state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfast.refusal import invalid_field
from holdfast.v1 import payload_pb2, queue_service_pb2
from store_service import limits
from store_service.api import checks, event_checks
from store_service.rules import payloads

_PRIORITY_MAX: Final = 100
_HEADERS_MAX: Final = 64

#: Queues of one consumer.
_QUEUES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What a consumer asks for: where from, and for how long it holds what it gets."""

    queues: tuple[str, ...]
    lease_ms: int


def check_messages(messages: Sequence[queue_service_pb2.NewQueueMessage], field: Callable[[int], str]) -> None:
    """Check the fields of messages and bring their payloads into the stored form, in place. Raises INVALID_FIELD."""
    for index, message in enumerate(messages):
        _check_message(message, field(index))


def check_message_sizes(messages: Sequence[queue_service_pb2.NewQueueMessage], field: Callable[[int], str]) -> None:
    """Check number and sizes of checked messages. Raises Refusal TOO_LARGE."""
    if len(messages) > limits.BATCH_MESSAGES_MAX:
        raise checks.too_large("batch_messages", limits.BATCH_MESSAGES_MAX, len(messages), "messages")
    for index, message in enumerate(messages):
        event_checks.check_payload_size(message.payload, f"{field(index)}.payload")
    total = sum(message.ByteSize() for message in messages)
    if total > limits.BATCH_BYTES_MAX:
        raise checks.too_large("batch_bytes", limits.BATCH_BYTES_MAX, total, "the batch of messages")


def wish(request: Any, field: str = "") -> Wish:
    """Check `queues` and `lease_duration` of a consumer's request."""
    path = f"{field}." if field else ""
    if not request.queues:
        raise invalid_field(f"{path}queues", "is empty; name at least one queue")
    if len(request.queues) > _QUEUES_MAX:
        raise invalid_field(f"{path}queues", f"names {len(request.queues)} queues, at most {_QUEUES_MAX} may be")
    for index, name in enumerate(request.queues):
        checks.queue_name(name, f"{path}queues[{index}]")
    checks.text(request.consumer_id, f"{path}consumer_id", limits.WRITER_CHARS_MAX)
    return Wish(tuple(request.queues), lease_ms(request, f"{path}lease_duration") or limits.LEASE_MS_DEFAULT)


def lease_ms(request: Any, field: str, name: str = "lease_duration") -> int | None:
    """Check the length of a lease; None when absent."""
    value = checks.positive_duration_ms(request, name, field)
    if value is not None and value > limits.LEASE_MS_MAX:
        raise invalid_field(field, f"is {value} ms; a lease lasts at most {limits.LEASE_MS_MAX} ms, extend it instead")
    return value


def progress(request: queue_service_pb2.ExtendLeasesRequest) -> payload_pb2.Payload | None:
    """Return `progress` in its stored form, None when absent. Raises INVALID_FIELD and TOO_LARGE."""
    if not request.HasField("progress"):
        return None
    stored = payloads.normalise(request.progress, "progress")
    event_checks.check_payload_size(stored, "progress")
    return stored


def bounded_ms(request: Any, name: str, field: str, least: int, most: int, default: int) -> int:
    """Check an interval that must lie between two bounds; ``default`` when absent."""
    value = checks.duration_ms(request, name, field)
    if value is None:
        return default
    if not least <= value <= most:
        raise invalid_field(field, f"is {value} ms and must be between {least} and {most} ms")
    return value


def _check_message(message: queue_service_pb2.NewQueueMessage, field: str) -> None:
    checks.queue_name(message.queue, f"{field}.queue")
    checks.time_ms(message, "deliver_time", f"{field}.deliver_time")
    checks.text(message.idempotency_key, f"{field}.idempotency_key", limits.IDEMPOTENCY_KEY_CHARS_MAX)
    checks.text(message.group, f"{field}.group", limits.GROUP_CHARS_MAX)
    if abs(message.priority) > _PRIORITY_MAX:
        raise invalid_field(f"{field}.priority", f"is {message.priority} and must be between -100 and 100")
    checks.natural(message.max_deliveries, f"{field}.max_deliveries")
    if len(message.headers) > _HEADERS_MAX:
        raise invalid_field(f"{field}.headers", f"has {len(message.headers)} entries, at most {_HEADERS_MAX} may be")
    if message.HasField("payload"):
        message.payload.CopyFrom(payloads.normalise(message.payload, f"{field}.payload"))
