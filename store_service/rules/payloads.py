"""Payloads on their way in: the stored form of a value, its size, and where payloads sit in a message.

Owns `normalise` (JSON travels as ``text``, whatever form it came in) and the one walk over the payloads of an event
or entity, used by checks, views and rows alike. Pure. It must never look into a value beyond asking whether it is
JSON: the store does not interpret payloads. The way out is ``views.py``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import pydantic_core
from google.protobuf import struct_pb2

from holdfast.refusal import invalid_field
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2

Payload = payload_pb2.Payload
Found = Iterator[tuple[str, Payload]]

#: Above this a double no longer holds every integer, and printing one as an integer would invent digits.
_EXACT_INTEGER_MAX: Final = 2**53


def is_json(payload: Payload) -> bool:
    """Return whether the body, as it stands, is JSON: a JSON media type with no coding on top."""
    if payload.content_encoding:
        return False
    if not payload.content_type:
        return True
    media_type = payload.content_type.partition(";")[0].strip().lower()
    return media_type in ("", "application/json") or media_type.endswith("+json")


def size_bytes(payload: Payload) -> int:
    """Return the size of a stored body in bytes; for a body that was left out, the size that was noted."""
    body = payload.WhichOneof("body")
    if body == "text":
        return len(payload.text.encode())
    if body == "data":
        return len(payload.data)
    return payload.size_bytes


def normalise(payload: Payload, field: str) -> Payload:
    """Return the payload as it is stored: JSON as ``text``, ``size_bytes`` set by us and by nobody else.

    Raises Refusal INVALID_FIELD, naming ``field``, for JSON that is not JSON and for a ``value`` that is said
    to be something else.
    """
    stored = Payload()
    stored.CopyFrom(payload)
    _normalise(stored, field)
    return stored


def _normalise(payload: Payload, field: str) -> None:
    payload.size_bytes = 0
    _BODIES[payload.WhichOneof("body")](payload, field)
    payload.size_bytes = size_bytes(payload)


def _keep_none(payload: Payload, field: str) -> None:
    """No value: distinct from JSON null."""


def _check_text(payload: Payload, field: str) -> None:
    if is_json(payload):
        _require_json(payload.text, f"{field}.text")


def _check_data(payload: Payload, field: str) -> None:
    if not is_json(payload):
        return
    try:
        text = payload.data.decode()
    except UnicodeDecodeError as error:
        raise invalid_field(f"{field}.data", "is not UTF-8, as JSON must be; set content_type for bytes") from error
    _require_json(text, f"{field}.data")
    payload.text = text


def _print_value(payload: Payload, field: str) -> None:
    if not is_json(payload):
        raise invalid_field(f"{field}.value", "holds JSON, but content_type or content_encoding says otherwise")
    text = json.dumps(to_python(payload.value, f"{field}.value"), ensure_ascii=False, separators=(",", ":"))
    payload.text = text


_BODIES: Final[Mapping[str | None, Callable[[Payload, str], None]]] = MappingProxyType(
    {None: _keep_none, "text": _check_text, "data": _check_data, "value": _print_value}
)


def _require_json(text: str, field: str) -> None:
    try:
        pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise invalid_field(field, f"is not valid JSON: {error}") from error


def to_python(value: struct_pb2.Value, field: str) -> Any:
    """Return a JSON value of the wire as Python objects; whole numbers become int. Raises INVALID_FIELD."""
    kind = value.WhichOneof("kind")
    if kind is None:
        raise invalid_field(field, "is empty; JSON null is null_value")
    return _KINDS[kind](value, field)


def _number(value: struct_pb2.Value, field: str) -> int | float:
    number = value.number_value
    if not math.isfinite(number):
        raise invalid_field(field, "holds a number that JSON does not have (NaN or Infinity)")
    is_whole = number.is_integer() and abs(number) <= _EXACT_INTEGER_MAX
    # An int has no negative zero, and a value must come out as it went in.
    return int(number) if is_whole and (number or math.copysign(1, number) > 0) else number


_KINDS: Final[Mapping[str, Callable[[struct_pb2.Value, str], Any]]] = MappingProxyType(
    {
        "null_value": lambda value, field: None,
        "bool_value": lambda value, field: value.bool_value,
        "string_value": lambda value, field: value.string_value,
        "number_value": _number,
        "struct_value": lambda value, field: {
            key: to_python(item, field) for key, item in value.struct_value.fields.items()
        },
        "list_value": lambda value, field: [to_python(item, field) for item in value.list_value.values],
    }
)


def of_failure(failure: payload_pb2.Failure, field: str) -> Found:
    """Yield the payloads of a failure and of its causes, with their paths."""
    if failure.HasField("details"):
        yield f"{field}.details", failure.details
    if failure.HasField("cause"):
        yield from of_failure(failure.cause, f"{field}.cause")


def _at(*names: str) -> Callable[[Any, str], Found]:
    """Return a walk over the payloads and failures that stand in the fields ``names`` of a message."""

    def walk(message: Any, field: str) -> Found:
        for name in names:
            if not message.HasField(name):
                continue
            found = getattr(message, name)
            if isinstance(found, payload_pb2.Failure):
                yield from of_failure(found, f"{field}{name}")
            else:
                yield f"{field}{name}", found

    return walk


#: Arm of an event → walk over its payloads. Arms without any are left out; the tests compare with the descriptors.
_EVENT_ARMS: Final[Mapping[str, Callable[[Any, str], Found]]] = MappingProxyType(
    {
        "run_created": _at("input"),
        "run_completed": _at("output"),
        "run_failed": _at("failure"),
        "step_created": _at("input"),
        "step_completed": _at("output"),
        "step_failed": _at("failure"),
        "step_retrying": _at("failure", "heartbeat_details"),
        "hook_created": _at("metadata"),
        "hook_received": _at("payload"),
    }
)
_RUN: Final = _at("input", "output", "failure")
_STEP: Final = _at("input", "output", "failure")
_HOOK: Final = _at("metadata")


def of_event(event: event_pb2.Event, field: str = "") -> Found:
    """Yield every payload of an event with its path below ``field`` ("event." gives "event.run_created.input")."""
    arm = event.WhichOneof("attributes")
    walk = _EVENT_ARMS.get(arm) if arm else None
    return walk(getattr(event, arm), f"{field}{arm}.") if arm and walk else iter(())


def of_run(run: entity_pb2.Run) -> Found:
    """Yield every payload of a run."""
    return _RUN(run, "")


def of_entity(entity: entity_pb2.Step | entity_pb2.Hook | entity_pb2.Wait) -> Found:
    """Yield every payload of a step or hook; a wait has none."""
    if isinstance(entity, entity_pb2.Wait):
        return iter(())
    return (_STEP if isinstance(entity, entity_pb2.Step) else _HOOK)(entity, "")


def normalise_event(event: event_pb2.Event, field: str) -> list[tuple[str, Payload]]:
    """Bring every payload of an event into its stored form, in place, and return them with their paths.

    Raises Refusal INVALID_FIELD.
    """
    found = list(of_event(event, f"{field}."))
    for path, payload in found:
        _normalise(payload, path)
    return found
