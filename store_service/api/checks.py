"""Field checks: what a field may hold, regardless of any state.

Owns the words in which a malformed field is told: INVALID_FIELD with the path of the field, what it holds and what was
expected; TOO_LARGE with the limit. Small functions that return the checked value in the unit that rules use. Must never
look at stored state. The checks of events are ``event_checks.py``, of queues ``queue_checks.py``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message

from holdfast.refusal import Refusal, invalid_field
from holdfast.v1 import error_pb2, payload_pb2
from store_service import limits
from store_service.rules import clock

_ID: Final = re.compile(r"[A-Za-z0-9_.:/#-]{1,256}")
_ID_SHAPE: Final = "1 to 256 characters of A-Z a-z 0-9 _ . : / # -"
_QUEUE: Final = re.compile(r"[a-z0-9._-]{1,128}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

#: Longest duration that protobuf's JSON form can write; a timestamp ends with the year 9999.
_DURATION_SECONDS_MAX: Final = 315_576_000_000
_TIMESTAMP_SECONDS_MAX: Final = 253_402_300_799
_NANOS_MAX: Final = 999_999_999

#: Characters of what was sent that a message repeats.
_SHOWN_CHARS_MAX: Final = 64


def shown(value: object) -> str:
    """Return a value as a message repeats it: quoted and cut."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}…"


def identifier(value: str, field: str) -> str:
    """Check an id of a run, step, hook or wait."""
    if not _ID.fullmatch(value):
        raise invalid_field(field, f"is {shown(value)}; an id is {_ID_SHAPE}")
    return value


def optional_identifier(value: str, field: str) -> str:
    """Check an id that may be left out."""
    return identifier(value, field) if value else value


def identifiers(values: Iterable[str], field: str) -> list[str]:
    """Check a list of ids."""
    return [identifier(value, f"{field}[{index}]") for index, value in enumerate(values)]


def queue_name(value: str, field: str) -> str:
    """Check the name of a queue."""
    if not _QUEUE.fullmatch(value):
        raise invalid_field(field, f"is {shown(value)}; a queue name is 1 to 128 characters of a-z 0-9 . _ -")
    return value


def text(value: str, field: str, chars_max: int, *, is_required: bool = False) -> str:
    """Check a short text for people and for matching: bounded, without control characters."""
    if is_required and not value:
        raise invalid_field(field, "is empty and must not be")
    if len(value) > chars_max:
        raise invalid_field(field, f"has {len(value)} characters, at most {chars_max} may be")
    if _CONTROL.search(value):
        raise invalid_field(field, f"is {shown(value)}; control characters are not allowed")
    return value


def prose(value: str, field: str, chars_max: int) -> str:
    """Check a bounded text of any content."""
    if len(value) > chars_max:
        raise invalid_field(field, f"has {len(value)} characters, at most {chars_max} may be")
    return value


def attributes(values: Any, field: str) -> None:
    """Check searchable attributes: count, keys and the size of each value."""
    if len(values) > limits.ATTRIBUTES_MAX:
        raise invalid_field(field, f"has {len(values)} entries, at most {limits.ATTRIBUTES_MAX} may be")
    for key, value in values.items():
        attribute_key(key, f"{field}[{shown(key)}]")
        if len(value.encode()) > limits.ATTRIBUTE_VALUE_BYTES_MAX:
            raise invalid_field(
                f"{field}[{shown(key)}]", f"has a value of more than {limits.ATTRIBUTE_VALUE_BYTES_MAX} bytes"
            )


def attribute_key(key: str, field: str) -> str:
    """Check the key of a searchable attribute."""
    return text(key, field, limits.ATTRIBUTE_KEY_CHARS_MAX, is_required=True)


def natural(value: int, field: str) -> int:
    """Check a number that must not be negative."""
    if value < 0:
        raise invalid_field(field, f"is {value} and must not be negative")
    return value


def optional_natural(message: Message, name: str, field: str) -> int | None:
    """Check a number that may be absent (None) and must not be negative."""
    return natural(getattr(message, name), field) if message.HasField(name) else None


def duration_ms(message: Message, name: str, field: str) -> int | None:
    """Return a duration in milliseconds, None when absent; a part of a millisecond rounds up."""
    if not message.HasField(name):
        return None
    value: duration_pb2.Duration = getattr(message, name)
    if value.seconds < 0 or value.nanos < 0:
        raise invalid_field(field, f"is {value.seconds} s {value.nanos} ns and must not be negative")
    if value.seconds > _DURATION_SECONDS_MAX or value.nanos > _NANOS_MAX:
        raise invalid_field(field, "is not a valid google.protobuf.Duration")
    return value.seconds * 1000 + -(-value.nanos // 1_000_000)


def positive_duration_ms(message: Message, name: str, field: str) -> int | None:
    """Return a duration that must be longer than nothing, in milliseconds; None when absent."""
    value = duration_ms(message, name, field)
    if value == 0:
        raise invalid_field(field, "is 0 and must be longer; leave it out for the default")
    return value


def time_ms(message: Message, name: str, field: str) -> int | None:
    """Return a point in time in epoch milliseconds, None when absent; it is of the years 1970 to 9999."""
    if not message.HasField(name):
        return None
    value: timestamp_pb2.Timestamp = getattr(message, name)
    if not (0 <= value.seconds <= _TIMESTAMP_SECONDS_MAX and 0 <= value.nanos <= _NANOS_MAX):
        raise invalid_field(field, f"is {value.seconds} s {value.nanos} ns; a time is of the years 1970 to 9999")
    return clock.to_ms(value)


def enum(kind: Any, value: int, field: str) -> int:
    """Check an enum value: one that this server knows, or 0 for the default."""
    if value not in kind.values():
        names = ", ".join(name for name, number in kind.items() if number)
        raise invalid_field(field, f"is {value}, which is no {kind.DESCRIPTOR.name}; known are {names}")
    return value


def enums(kind: Any, values: Collection[int], field: str) -> None:
    """Check a filter of enum values; the unspecified one selects nothing and is refused."""
    for index, value in enumerate(values):
        if not enum(kind, value, f"{field}[{index}]"):
            raise invalid_field(f"{field}[{index}]", "is not set; leave it out of the list")


def payload_view(request: Any) -> None:
    """Check the view of a request."""
    enum(payload_pb2.PayloadView, request.view, "view")


def page(request: Any) -> None:
    """Check the size and the view of a page, where the request has them."""
    natural(request.page_size, "page_size")
    if "view" in request.DESCRIPTOR.fields_by_name:
        payload_view(request)


def request_id(value: str, *, is_required: bool = False) -> str:
    """Check a request id; empty means none."""
    return text(value, "request_id", limits.REQUEST_ID_CHARS_MAX, is_required=is_required)


def receipts(values: Sequence[str], field: str, *, is_required: bool = False) -> None:
    """Check receipts: what a server handed out, and not too many at once."""
    if is_required and not values:
        raise invalid_field(field, "is empty; name at least one receipt")
    if len(values) > limits.BATCH_MESSAGES_MAX:
        raise too_large("receipts", limits.BATCH_MESSAGES_MAX, len(values), field)
    for index, value in enumerate(values):
        text(value, f"{field}[{index}]", limits.REQUEST_ID_CHARS_MAX, is_required=True)


def too_large(limit: str, most: int, actual: int, field: str) -> Refusal:
    """Build the refusal of something larger than a limit of `StoreLimits` or of the documentation."""
    return Refusal(
        "TOO_LARGE",
        f"{field} is {actual}, more than the limit {limit} of {most}",
        metadata={"field": field, "limit": limit, "max": most, "actual": actual},
        detail=error_pb2.LimitExceeded(limit=limit, max=most, actual=actual),
    )
