"""The limits that are checked where people write, with unit and reason.

The store has the same ones and the last word (``store_service/limits.py``); checking them at the call turns a refused
batch into an error that names the line. Reaching one is ``LimitExceeded``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from holdfast.errors import LimitExceeded
from holdfast.v1 import payload_pb2

#: Bytes of one encoded value: half of gRPC's default message size, so that it fits with its event.
PAYLOAD_BYTES_MAX: Final = 2 * 1024 * 1024

#: Bytes of a response to a webhook's sender; and of one that is fixed when the webhook opens, which is in the log.
RESPONSE_BYTES_MAX: Final = 1024 * 1024
FIXED_RESPONSE_BYTES_MAX: Final = 64 * 1024

#: What the names of things may not hold: control characters, and halves of UTF-16 pairs, which have no UTF-8.
_NOT_IN_LINES: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")

#: Characters of a hook token.
TOKEN_CHARS_MAX: Final = 512

#: Searchable attributes of a run: count, characters of a key, bytes of a value.
ATTRIBUTES_MAX: Final = 64
ATTRIBUTE_KEY_CHARS_MAX: Final = 256
ATTRIBUTE_VALUE_BYTES_MAX: Final = 256

#: Characters of a reason to cancel.
REASON_CHARS_MAX: Final = 512

#: Causes of a failure that are kept; and bytes of a message, of a traceback and of the arguments of each.
CAUSES_MAX: Final = 10
FAILURE_MESSAGE_BYTES_MAX: Final = 4 * 1024
FAILURE_TRACEBACK_BYTES_MAX: Final = 8 * 1024
FAILURE_DETAILS_BYTES_MAX: Final = 8 * 1024


def check_payload(payload: payload_pb2.Payload, what: str) -> payload_pb2.Payload:
    """Return the payload. Raises LimitExceeded that begins with ``what`` when it is too large."""
    size = len(payload.data) if payload.HasField("data") else len(payload.text.encode())
    if size > PAYLOAD_BYTES_MAX:
        raise exceeded(
            "payload_bytes",
            PAYLOAD_BYTES_MAX,
            size,
            f"{what} takes {size} bytes; keep it elsewhere and pass its address",
        )
    return payload


def check_token(token: str) -> str:
    """Return the token of a hook. Raises LimitExceeded when it is too long, ValueError for what no store takes."""
    if len(token) > TOKEN_CHARS_MAX:
        raise exceeded("token_chars", TOKEN_CHARS_MAX, len(token), f"the hook token {token[:40]!r}… is too long")
    return check_line(token, "the token of a hook")


def check_line(text: str, what: str) -> str:
    """Return a text that is one line of Unicode. Raises ValueError that begins with ``what`` for any other."""
    if _NOT_IN_LINES.search(text):
        raise ValueError(f"{what} must have no control characters and no lone surrogates, got {text[:80]!r}")
    return text


def check_attributes(changes: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """Return the changes. Raises LimitExceeded for a size, TypeError and ValueError for what is no text."""
    if len(changes) > ATTRIBUTES_MAX:
        raise exceeded("attributes", ATTRIBUTES_MAX, len(changes), "too many attributes")
    for key, value in changes.items():
        _check_attribute(key, value)
    return changes


def check_attribute_count(present: Mapping[str, str], changes: Mapping[str, str | None]) -> None:
    """Raise LimitExceeded when a run that has ``present`` would have too many attributes after the changes."""
    after = {key for key, value in {**present, **changes}.items() if value is not None}
    if len(after) > ATTRIBUTES_MAX:
        raise exceeded("attributes", ATTRIBUTES_MAX, len(after), "the run would have too many attributes")


def exceeded(limit: str, maximum: int, actual: int, sentence: str) -> LimitExceeded:
    """Build the error of a limit that was reached."""
    return LimitExceeded(f"{sentence} (limit {limit}: {maximum})", limit=limit, max=maximum, actual=actual)


def _check_attribute(key: str, value: str | None) -> None:
    if not isinstance(key, str) or not isinstance(value, str | None):
        raise TypeError(f"attribute {key!r} must be text or None, got {value!r}")
    if not 1 <= len(key) <= ATTRIBUTE_KEY_CHARS_MAX:
        raise exceeded(
            "attribute_key_chars", ATTRIBUTE_KEY_CHARS_MAX, len(key), f"the attribute key {key[:40]!r} has a bad length"
        )
    check_line(key, "the key of an attribute")
    if value is not None and _SURROGATE.search(value):
        raise ValueError(f"the value of attribute {key!r} must have no lone surrogates, got {value[:80]!r}")
    size = len(value.encode()) if value is not None else 0
    if size > ATTRIBUTE_VALUE_BYTES_MAX:
        raise exceeded(
            "attribute_value_bytes", ATTRIBUTE_VALUE_BYTES_MAX, size, f"the value of attribute {key!r} is too long"
        )
