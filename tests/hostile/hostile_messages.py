"""Messages that nobody sends by mistake: every field of a request filled with what is least expected there.

Built from the descriptors, so that a new RPC or field is covered the day it is written. Ids and receipts that exist
are mixed in, so that a call gets past the first check. Everything follows from one seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

#: Field name → values that mean something, which are taken more often than not.
KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "run_id": ("hostile-1", "hostile-2"),
    "correlation_id": ("step-1", "hook-1", "wait-1"),
    "hook_id": ("hook-1",),
    "token": ("hostile-token",),
    "queue": ("runs",),
    "workflow_name": ("hostile-waits",),
}

_TEXTS: Final = (
    *("", "a", "\x00", "\n", "é" * 50, "x" * 300, "x" * 5000, "𝒳", "../..", "'; drop table runs; --"),
    *("null", "{", "NaN", '"ok"', "[1]", "[" * 600 + "]" * 600, "application/json", "run_", "evt_01"),
)
_BYTES: Final = (b"", b"\xff\xfe", b"x" * 1000)
_INTEGERS: Final = (0, 1, 2, 3, 501, 1001, -1, 2**31 - 1, -(2**31))
_LONG_INTEGERS: Final = (*_INTEGERS, 2**53, 2**63 - 1, -(2**63))
_FLOATS: Final = (0.0, -1.0, 0.5, 1e308, float("nan"), float("inf"))
_SECONDS: Final = (0, 1, 60, -1, 253402300799, 253402300800, 315576000001, -62135596801, 2**63 - 1, -(2**63))
_NANOS: Final = (0, 0, 1, -1, 999_999_999, 10**9, 2**31 - 1)
_DEPTH_MAX: Final = 5


class HostileMessages:
    """A source of messages. ``receipts`` and ``cursors``: what servers handed out, to be given back in wrong places."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.cursors: list[str] = [""]

    def fill(self, message: Message, depth: int = 0) -> Any:
        """Fill some fields of a message, none to all; returns it."""
        share = self.rng.choice((0.1, 0.3, 0.6, 0.9))
        special = _SPECIAL.get(message.DESCRIPTOR.full_name)
        if special is not None:
            special(self.rng, message)
            return message
        for field in message.DESCRIPTOR.fields:
            if self.rng.random() < share:
                self._put(message, field, depth)
        return message

    def _put(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        kind, place = field.message_type, getattr(message, field.name)
        if kind is None and field.is_repeated:
            place.extend(self._scalar(field) for _ in range(self.rng.randrange(4)))
        elif kind is None:
            setattr(message, field.name, self._scalar(field))
        elif depth >= _DEPTH_MAX:
            return
        elif kind.GetOptions().map_entry:
            self._put_entries(place, kind.fields_by_name["value"], depth)
        elif field.is_repeated:
            for _ in range(self.rng.randrange(4)):
                self.fill(place.add(), depth + 1)
        else:
            place.SetInParent()
            self.fill(place, depth + 1)

    def _put_entries(self, entries: Any, value: FieldDescriptor, depth: int) -> None:
        for _ in range(self.rng.choice((1, 2, 70))):
            key = self.rng.choice(_TEXTS)
            if value.message_type is None:
                entries[key] = self._scalar(value)
            else:
                self.fill(entries[key], depth + 1)

    def _scalar(self, field: FieldDescriptor) -> Any:
        known = KNOWN.get(field.name)
        if known is not None and self.rng.random() < 0.7:
            return self.rng.choice(known)
        if field.enum_type is not None:
            return self.rng.choice([*(value.number for value in field.enum_type.values), -1, 99])
        if field.type == FieldDescriptor.TYPE_STRING and self.rng.random() < 0.2:
            return self.rng.choice(self.cursors[-20:])
        return self.rng.choice(_SCALARS[field.type])


_SCALARS: Final[Mapping[int, tuple[Any, ...]]] = {
    FieldDescriptor.TYPE_STRING: _TEXTS,
    FieldDescriptor.TYPE_BYTES: _BYTES,
    FieldDescriptor.TYPE_BOOL: (True, False),
    FieldDescriptor.TYPE_INT32: _INTEGERS,
    FieldDescriptor.TYPE_INT64: _LONG_INTEGERS,
    FieldDescriptor.TYPE_UINT32: (0, 1, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 1, 2**64 - 1),
    FieldDescriptor.TYPE_DOUBLE: _FLOATS,
    FieldDescriptor.TYPE_FLOAT: _FLOATS[:3],
}


def _moment(rng: random.Random, message: Any) -> None:
    message.seconds, message.nanos = rng.choice(_SECONDS), rng.choice(_NANOS)


def _value(rng: random.Random, message: Any) -> None:
    for _ in range(rng.choice((0, 1, 30))):
        message = message.list_value.values.add()
    if rng.random() < 0.5:
        message.number_value = rng.choice(_FLOATS)
    else:
        message.string_value = rng.choice(_TEXTS)


_SPECIAL: Final[Mapping[str, Callable[[random.Random, Any], None]]] = {
    "google.protobuf.Timestamp": _moment,
    "google.protobuf.Duration": _moment,
    "google.protobuf.Value": _value,
}
