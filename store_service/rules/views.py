"""Payloads on their way out: as stored, left out, or opened for people.

Owns what PayloadView means, in place on a message that belongs to the caller alone. It must never be applied to
`missed` or `interleaved`, whose payloads come as stored because a replay feeds on them. The way in is
``payloads.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import pydantic_core
from google.protobuf import struct_pb2

from holdfast.v1 import entity_pb2, event_pb2, payload_pb2
from store_service import limits
from store_service.rules import payloads
from store_service.rules.stored import EntityMessage

Payload = payload_pb2.Payload
View: TypeAlias = payload_pb2.PayloadView.ValueType

STORED: Final = payload_pb2.PAYLOAD_VIEW_STORED
OMITTED: Final = payload_pb2.PAYLOAD_VIEW_OMITTED
VALUE: Final = payload_pb2.PAYLOAD_VIEW_VALUE

#: Levels of JSON that are opened into a Value. One level is up to three nested messages, and protobuf parsers
#: stop at a hundred: a deeper Value would make the whole answer unreadable.
_VALUE_DEPTH_MAX: Final = 25


def resolve(view: View, default: View = STORED) -> View:
    """Return the view that is meant: the default of the method when none was asked for."""
    return view or default


def show_event(event: event_pb2.Event, view: View) -> event_pb2.Event:
    """Change the payloads of an event in place to ``view``, and return it."""
    _show(payloads.of_event(event), view)
    return event


def show_run(run: entity_pb2.Run, view: View) -> entity_pb2.Run:
    """Change the payloads of a run in place to ``view``, and return it."""
    _show(payloads.of_run(run), view)
    return run


def show_entity(entity: EntityMessage, view: View) -> EntityMessage:
    """Change the payloads of a step, hook or wait in place to ``view``, and return it."""
    _show(payloads.of_entity(entity), view)
    return entity


def omit(payload: Payload) -> Payload:
    """Return a copy without its body: content_type, metadata, encoding and size remain."""
    kept = Payload(
        content_type=payload.content_type,
        content_encoding=payload.content_encoding,
        size_bytes=payload.size_bytes or payloads.size_bytes(payload),
    )
    # MergeFrom: `update` copies a map entry by entry in Python, and this runs for every payload of every append.
    kept.metadata.MergeFrom(payload.metadata)
    return kept


def _show(found: Iterable[tuple[str, Payload]], view: View) -> None:
    change = _CHANGES[view]
    for _, payload in found:
        change(payload)


def _leave_out(payload: Payload) -> None:
    # What is stored knows its size; counting the bytes of every text again would cost by the length.
    payload.size_bytes = payload.size_bytes or payloads.size_bytes(payload)
    if body := payload.WhichOneof("body"):
        payload.ClearField(body)


def _note_size(payload: Payload) -> None:
    payload.size_bytes = payloads.size_bytes(payload)


def _open(payload: Payload) -> None:
    """Expand JSON text; leave as stored what is too deep or too large to travel as a Value."""
    _note_size(payload)
    if payload.WhichOneof("body") != "text" or not payloads.is_json(payload):
        return
    try:
        value = _value(pydantic_core.from_json(payload.text), 0)
    except (ValueError, OverflowError):
        return
    if value.ByteSize() <= limits.PAYLOAD_BYTES_MAX:
        payload.value.CopyFrom(value)


_CHANGES: Final[Mapping[int, Callable[[Payload], None]]] = MappingProxyType(
    {payload_pb2.PAYLOAD_VIEW_UNSPECIFIED: _note_size, STORED: _note_size, OMITTED: _leave_out, VALUE: _open}
)


def _value(found: Any, depth: int) -> struct_pb2.Value:
    if depth > _VALUE_DEPTH_MAX:
        raise ValueError("too deep for a Value")
    value = struct_pb2.Value()
    _WRITERS[type(found)](value, found, depth)
    return value


def _write_object(value: struct_pb2.Value, found: Any, depth: int) -> None:
    value.struct_value.SetInParent()
    for key, item in found.items():
        value.struct_value.fields[key].CopyFrom(_value(item, depth + 1))


def _write_list(value: struct_pb2.Value, found: Any, depth: int) -> None:
    value.list_value.SetInParent()
    value.list_value.values.extend(_value(item, depth + 1) for item in found)


def _write(field: str) -> Callable[[struct_pb2.Value, Any, int], None]:
    return lambda value, found, depth: setattr(value, field, found)


def _write_number(value: struct_pb2.Value, found: Any, depth: int) -> None:
    number = float(found)
    if not math.isfinite(number):
        raise ValueError("beyond a double")
    value.number_value = number


def _write_null(value: struct_pb2.Value, found: Any, depth: int) -> None:
    value.null_value = struct_pb2.NULL_VALUE


_WRITERS: Final[Mapping[type, Callable[[struct_pb2.Value, Any, int], None]]] = MappingProxyType(
    {
        type(None): _write_null,
        bool: _write("bool_value"),
        int: _write_number,
        float: _write_number,
        str: _write("string_value"),
        dict: _write_object,
        list: _write_list,
    }
)
