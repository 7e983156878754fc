"""Values, times and spans as a page shows them. Pure: messages in, plain text out; the templates escape it.

A value is shown as it is stored, indented but never parsed: no number is rounded and no key reordered. What is
long is cut, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.cli.rendering import moment
from holdfast.v1 import payload_pb2
from runtime_service.ui import limits

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],:]|[^\s{}\[\],:"]+')
_INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class Text:
    """A value to show. ``note`` says what the value does not: that it was cut, or how it is encoded."""

    text: str
    note: str = ""


def value(payload: payload_pb2.Payload) -> Text:
    """A payload: JSON indented, other text as it is, of anything else what it is."""
    if payload.content_encoding:
        return Text(f"{_size(_bytes(payload))}, encoded ({payload.content_encoding})", "its codec is not applied here")
    body = payload.WhichOneof("body")
    if body == "data":
        return Text(f"{_size(len(payload.data))} of {payload.content_type or 'bytes'}")
    if body is None:
        return Text("no value" if not payload.size_bytes else f"{_size(payload.size_bytes)}, left out")
    text = payload.text if body == "text" else json_format.MessageToJson(payload.value, indent=None)
    is_json = payload.content_type in ("", "application/json")
    return cut(_first_chars(indented(text)) if is_json else text, len(text))


def cut(text: str, size: int | None = None) -> Text:
    """A text with a note when it is too long; ``size`` is what it was made of, in characters."""
    if len(text) <= limits.VALUE_CHARS_MAX:
        return Text(text)
    return Text(
        text[: limits.VALUE_CHARS_MAX] + "…", f"cut: the whole has {len(text) if size is None else size:,} characters"
    )


def indented(text: str) -> Iterator[str]:
    """Yield JSON text in pieces, with a line for each member; text that is no JSON comes out too, somehow."""
    depth, is_fresh = 0, False
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in "}]":
            depth -= 1
            yield "" if is_fresh else _line(depth)
        elif is_fresh:
            yield _line(depth)
        is_fresh = token in "{["
        depth += is_fresh
        yield f"{token} " if token == ":" else token + _line(depth) if token == "," else token


def _line(depth: int) -> str:
    return "\n" + _INDENT * max(0, depth)


def _first_chars(pieces: Iterator[str]) -> str:
    """Join pieces until they are more than is shown."""
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > limits.VALUE_CHARS_MAX:
            break
    return "".join(found)


def _bytes(payload: payload_pb2.Payload) -> int:
    return payload.size_bytes or len(payload.data) or len(payload.text.encode())


def _size(count: int) -> str:
    return f"{count:,} byte{'' if count == 1 else 's'}"


def span(milliseconds: float) -> str:
    """A span in its two largest units, below a minute with its fraction."""
    whole = round(milliseconds)
    if whole < 1_000:
        return f"{whole} ms"
    if whole < 60_000:
        return f"{whole / 1000:.2f}".rstrip("0").rstrip(".") + " s"
    seconds = whole // 1000
    parts = [(seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2])


def iso(stamp: Timestamp) -> str:
    """A timestamp for programs: UTC, to the millisecond."""
    return moment(stamp).isoformat(timespec="milliseconds").replace("+00:00", "Z")
