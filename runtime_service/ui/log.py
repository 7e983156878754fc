"""A run's events as rows of a table, and errors as what they were caused by.

Owns which parts of an event are shown. The parts are found by the fields of the contract and not by the kind of the
event, so a kind that is new is shown in full. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.cli.rendering import enum_word, event_kind, event_words, local_time
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.ui import limits, texts
from runtime_service.ui.texts import Text, span


@dataclass(frozen=True, slots=True)
class Error:
    """One error of a chain, the outermost first; ``details`` is what user code attached."""

    type: str
    message: Text
    category: str
    trace: Text | None
    details: Text | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. ``facts`` are its small parts, ``values`` its payloads by name, ``errors`` its failure's chain."""

    seq: int
    kind: str
    entity_id: str
    time: Timestamp
    after: str
    words: str
    facts: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, Text], ...]
    errors: tuple[Error, ...]


def entry(event: event_pb2.Event, begin: Timestamp) -> Entry:
    """Arrange one event; ``begin`` is when its run was created."""
    arm: Message = getattr(event, kind) if (kind := event_kind(event)) != "unknown" else event_pb2.WaitCompleted()
    parts = [(descriptor.name, part) for descriptor, part in arm.ListFields()]
    return Entry(
        seq=event.seq,
        kind=kind,
        entity_id=event.correlation_id,
        time=event.create_time,
        after=f"+{span(event.create_time.ToMilliseconds() - begin.ToMilliseconds())}",
        words=event_words(event),
        facts=(*((name, _fact(part)) for name, part in parts if not _is_value(part)), *_of_event(event)),
        values=tuple((name, texts.value(part)) for name, part in parts if isinstance(part, payload_pb2.Payload)),
        errors=tuple(error for _, part in parts if isinstance(part, payload_pb2.Failure) for error in chain(part)),
    )


def chain(failure: payload_pb2.Failure) -> Iterator[Error]:
    """Yield an error and what caused it, down to a limit."""
    for _ in range(limits.CAUSES_MAX):
        yield Error(
            type=failure.type or "error",
            message=texts.cut(failure.message),
            category=enum_word(payload_pb2.FailureCategory, failure.category) if failure.category else "",
            trace=texts.cut(failure.stack_trace) if failure.stack_trace else None,
            details=texts.value(failure.details) if failure.HasField("details") else None,
        )
        if not failure.HasField("cause"):
            return
        failure = failure.cause


def _is_value(part: object) -> bool:
    return isinstance(part, payload_pb2.Payload | payload_pb2.Failure)


def _of_event(event: event_pb2.Event) -> Iterator[tuple[str, str]]:
    """What an event of any kind may have."""
    yield "event id", event.event_id
    yield "origin", enum_word(event_pb2.EventOrigin, event.origin)
    if event.writer:
        yield "writer", event.writer
    if event.HasField("occur_time"):
        yield "happened", local_time(event.occur_time)


def _fact(part: Any) -> str:
    if isinstance(part, Timestamp):
        return local_time(part)
    if isinstance(part, Message):
        text = json_format.MessageToJson(part, indent=None, ensure_ascii=False)
        return texts.cut(text.strip(_QUOTES)).text
    if hasattr(part, "items"):
        return texts.cut(" ".join(f"{key}={value}" for key, value in sorted(part.items()))).text
    if not isinstance(part, str) and hasattr(part, "__iter__"):
        return texts.cut(", ".join(map(str, part))).text
    return texts.cut(str(part)).text


#: Around a duration, which is a string in proto JSON.
_QUOTES: Final = '"'
