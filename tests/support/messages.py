"""Messages of any type, made up by hypothesis from their descriptors: mostly plausible, sometimes absurd.

Names that exist in the store of the test come up often, so that calls get past the first checks. Long polls are short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

#: Messages inside messages that are made up.
_DEPTH_MAX = 4

_ODD_TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "a" * 300,
        "ß" * 600,
        "../../etc/passwd",
        "'; DROP TABLE runs; --",
        "%s%n{0}",
        "\ud7ff\U0010ffff",
    ),
    *("[" * 20_000, "1e999", "NaN", "null", "{}", '{"run_id":"run-1"}', '"yes"', "9" * 5_000, '{"a":' * 2_000),
)

_INTEGERS = (0, 1, 2, 5, 50, 1000, -1, 2**31 - 1, -(2**31))
_LONG = (*_INTEGERS, 1_700_000_000_000, 2**53, 2**63 - 1, -(2**63))
_SECONDS = (0, 1, -1, 60, 315_576_000_000, 253_402_300_799, 253_402_300_800, -62_135_596_801, 2**63 - 1, -(2**63))
_NANOS = (0, 1, -1, 999_999_999, 1_000_000_000, 2**31 - 1, -(2**31))

_F = FieldDescriptor


def _integers(values: Sequence[int], low: int) -> st.SearchStrategy[int]:
    return st.sampled_from([value for value in values if value >= low])


_SCALARS: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
    _F.TYPE_BOOL: st.booleans,
    _F.TYPE_DOUBLE: st.floats,
    _F.TYPE_FLOAT: lambda: st.floats(width=32),
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), lambda: _integers(_INTEGERS, -(2**31))),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), lambda: _integers(_LONG, -(2**63))),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), lambda: _integers(_INTEGERS, 0)),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), lambda: _integers(_LONG, 0)),
    _F.TYPE_BYTES: lambda: st.one_of(st.binary(max_size=20), st.just(b"\xff" * 5_000)),
}


class Messages:
    """Strategies for messages. ``names`` are those that exist in the store of the test."""

    def __init__(self, names: Sequence[str]) -> None:
        self._texts = st.one_of(st.sampled_from(list(names)), st.sampled_from(_ODD_TEXTS), st.text(max_size=8))
        self._made: dict[tuple[str, int], st.SearchStrategy[Message]] = {}

    def of(self, kind: Descriptor, depth: int = 0) -> st.SearchStrategy[Message]:
        """Return a strategy for messages of a type."""
        key = (kind.full_name, depth)
        if key not in self._made:
            self._made[key] = self._build(kind, depth)
        return self._made[key]

    def _build(self, kind: Descriptor, depth: int) -> st.SearchStrategy[Message]:
        factory = message_factory.GetMessageClass(kind)
        if kind.full_name in ("google.protobuf.Duration", "google.protobuf.Timestamp"):
            return st.builds(factory, seconds=st.sampled_from(_SECONDS), nanos=st.sampled_from(_NANOS))
        fields = [it for it in kind.fields if it.message_type is None or depth < _DEPTH_MAX]
        if not fields:
            return st.builds(factory)

        @st.composite
        def made(draw: Any) -> Message:
            message = factory()
            chosen = draw(
                st.lists(st.sampled_from(fields), max_size=min(len(fields), 6), unique_by=lambda it: it.number)
            )
            for field in chosen:
                self._fill(draw, message, field, depth)
            return message

        return made()

    def _fill(self, draw: Any, message: Message, field: FieldDescriptor, depth: int) -> None:
        if field.name in ("wait", "timeout") and field.message_type is not None and not field.is_repeated:
            getattr(message, field.name).FromMilliseconds(draw(st.sampled_from((0, 5, 20))))
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._fill_map(draw, getattr(message, field.name), field.message_type.fields_by_name, depth)
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(self._value(field, depth), max_size=3)))
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(draw(self._value(field, depth)))
        else:
            setattr(message, field.name, draw(self._value(field, depth)))

    def _fill_map(self, draw: Any, target: Any, entry: Any, depth: int) -> None:
        for key in draw(st.lists(self._value(entry["key"], depth), max_size=2)):
            value = draw(self._value(entry["value"], depth))
            if entry["value"].message_type is not None:
                target[key].CopyFrom(value)
            else:
                target[key] = value

    def _value(self, field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
        if field.message_type is not None:
            return self.of(field.message_type, depth + 1)
        if field.enum_type is not None:
            return st.sampled_from([*(value.number for value in field.enum_type.values), 99, -1])
        return self._texts if field.type == _F.TYPE_STRING else _SCALARS[field.type]()
