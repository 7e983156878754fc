"""Field checks of the front door: each is one small function that refuses with the name of the field.

A refused request has touched nothing. What only the store can know (does the run exist, is it over) is not asked
here. ``payloads.py`` looks inside values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from holdfast.limits import (
    ATTRIBUTE_KEY_CHARS_MAX,
    ATTRIBUTE_VALUE_BYTES_MAX,
    ATTRIBUTES_MAX,
    PAYLOAD_BYTES_MAX,
)
from holdfast.refusal import Refusal, invalid_field
from holdfast.v1 import error_pb2, payload_pb2
from runtime_service.api import limits

_RUN_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_ENTITY_ID: Final = re.compile(r"[A-Za-z0-9_.:/#-]{1,256}")
_NANOS_MAX: Final = 999_999_999


def check_run_id(run_id: str, field: str = "run_id") -> None:
    """Refuse anything but 1 to 128 of A-Z a-z 0-9 _ . : -"""
    if not _RUN_ID.fullmatch(run_id):
        raise invalid_field(field, f"expected 1 to 128 of A-Z a-z 0-9 _ . : -, got {_shown(run_id)}")


def check_entity_id(entity_id: str, field: str) -> None:
    """Refuse anything but 1 to 256 of A-Z a-z 0-9 _ . : / # -"""
    if not _ENTITY_ID.fullmatch(entity_id):
        raise invalid_field(field, f"expected 1 to 256 of A-Z a-z 0-9 _ . : / # -, got {_shown(entity_id)}")


def check_text(text: str, field: str, *, chars_max: int, may_be_empty: bool = True) -> None:
    """Refuse a text that is too long, or empty where that means nothing."""
    if not text and not may_be_empty:
        raise invalid_field(field, "must not be empty")
    if len(text) > chars_max:
        raise invalid_field(field, f"expected at most {chars_max} characters, got {len(text)}")


def check_request_id(request_id: str) -> None:
    check_text(request_id, "request_id", chars_max=limits.REQUEST_ID_CHARS_MAX)


def check_attributes(attributes: Mapping[str, str]) -> None:
    """Refuse too many attributes, empty or long keys, long values."""
    if len(attributes) > ATTRIBUTES_MAX:
        raise invalid_field("attributes", f"expected at most {ATTRIBUTES_MAX}, got {len(attributes)}")
    for key, value in attributes.items():
        field = f"attributes[{_shown(key)}]"
        check_text(key, field, chars_max=ATTRIBUTE_KEY_CHARS_MAX, may_be_empty=False)
        size = len(value.encode())
        if size > ATTRIBUTE_VALUE_BYTES_MAX:
            raise invalid_field(field, f"expected at most {ATTRIBUTE_VALUE_BYTES_MAX} bytes, got {size}")


def check_known(value: int, enum: Any, field: str) -> None:
    """Refuse a number that the enum does not have: the caller means something that we would not do."""
    if value not in enum.DESCRIPTOR.values_by_number:
        raise invalid_field(field, f"expected one of {', '.join(enum.keys())}, got {value}")


def check_view(view: int) -> None:
    check_known(view, payload_pb2.PayloadView, "view")


def duration_ms(request: Message, field: str, *, default: int, least: int, most: int) -> int:
    """Read a duration in milliseconds; refuse one outside ``least`` to ``most``."""
    if not request.HasField(field):
        return default
    value: Duration = getattr(request, field)
    # By hand: protobuf's own conversions raise for what a client can send and no Duration may hold.
    milliseconds = value.seconds * 1000 + value.nanos // 1_000_000
    if not least <= milliseconds <= most or value.seconds < 0 or not 0 <= value.nanos <= _NANOS_MAX:
        raise invalid_field(field, f"expected {least / 1000:g} to {most / 1000:g} seconds, got {_seconds(value)}")
    return milliseconds


def check_positive(request: Message, field: str) -> None:
    """Refuse a duration of nothing or less; absent is fine."""
    if request.HasField(field):
        value: Duration = getattr(request, field)
        if value.seconds < 0 or value.nanos < 0 or value.ToNanoseconds() == 0:
            raise invalid_field(field, f"expected more than 0 seconds, got {_seconds(value)}")


def check_payload_size(payload: payload_pb2.Payload, field: str) -> None:
    """Refuse a body over the limit with TOO_LARGE."""
    body = payload.WhichOneof("body")
    size = payload.value.ByteSize() if body == "value" else len(payload.data or payload.text.encode())
    if size > PAYLOAD_BYTES_MAX:
        raise Refusal(
            "TOO_LARGE",
            f"{field}: takes {size} bytes, at most {PAYLOAD_BYTES_MAX} are accepted",
            metadata={"limit": "payload_bytes", "max": PAYLOAD_BYTES_MAX, "actual": size},
            detail=error_pb2.LimitExceeded(limit="payload_bytes", max=PAYLOAD_BYTES_MAX, actual=size),
        )


def _seconds(value: Duration) -> str:
    return f"{value.seconds + value.nanos / 1e9:g}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
