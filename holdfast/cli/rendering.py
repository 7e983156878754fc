"""How messages look on a terminal: one event in one line, a payload in a few words, proto JSON for programs.

Owns the table from event type to words. Pure: messages in, text out. Tables of rows are drawn in
``tables.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.v1 import event_pb2, payload_pb2

#: Characters of a payload or message in a line for people.
BRIEF_CHARS: Final = 80


def as_json_line(message: Message) -> str:
    """Render a message as proto JSON on one line."""
    return json_format.MessageToJson(message, indent=None, ensure_ascii=False)


def payload_text(payload: payload_pb2.Payload) -> str:
    """The body of a payload as text: JSON as stored, bytes as their size, "null" when there is no value."""
    body = payload.WhichOneof("body")
    if body == "text":
        return payload.text
    if body == "value":
        return json_format.MessageToJson(payload.value, indent=None, ensure_ascii=False)
    return f"<{len(payload.data)} bytes of {payload.content_type}>" if body == "data" else "null"


def brief(text: str, chars: int = BRIEF_CHARS) -> str:
    """Cut text to one line of at most ``chars`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= chars else line[: chars - 1] + "…"


def local_time(stamp: Timestamp) -> str:
    """A timestamp as local wall time to the millisecond; "-" when absent."""
    if not stamp.ByteSize():
        return "-"
    return moment(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def moment(stamp: Timestamp) -> datetime:
    """A timestamp as an aware datetime, UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def enum_word(enum: Any, number: int) -> str:
    """The last word of an enum value in lower case: RUN_STATUS_FAILED becomes "failed"."""
    prefix = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in enum.DESCRIPTOR.name)
    name: str = enum.Name(number) if number in enum.values() else str(number)
    return name.removeprefix(prefix.lstrip("_") + "_").lower()


def event_kind(event: event_pb2.Event) -> str:
    """The name of the event's arm, e.g. "step_completed"; "unknown" for a kind newer than this program."""
    return event.WhichOneof("attributes") or "unknown"


def event_words(event: event_pb2.Event) -> str:
    """What happened, in a few words, without the kind and the entity."""
    kind = event_kind(event)
    words = _WORDS.get(kind)
    return words(getattr(event, kind)) if words else ""


def event_line(event: event_pb2.Event) -> str:
    """One event in one plain line: position, time, writer, kind, entity, words."""
    origin = enum_word(event_pb2.EventOrigin, event.origin)
    clock = local_time(event.create_time)[11:]
    columns = f"{event.seq:>5}  {clock}  {origin:<8}  {event_kind(event):<20}"
    return f"{columns}  {event.correlation_id}  {event_words(event)}".rstrip()


def _failure(failure: payload_pb2.Failure) -> str:
    return brief(f"{failure.type}: {failure.message}")


def _changes(attributes: event_pb2.AttributesSet) -> str:
    changed = [f"{key}={value}" for key, value in sorted(attributes.set.items())]
    return brief(" ".join(changed + [f"-{key}" for key in attributes.removed]))


#: Event kind → its words. Complete: tests/cli/test_rendering.py.
_WORDS: Final[dict[str, Callable[[Any], str]]] = {
    "run_created": lambda it: brief(f"{it.workflow_name} {payload_text(it.input)}"),
    "run_started": lambda it: f"by {it.runtime_id}" if it.runtime_id else "",
    "run_completed": lambda it: brief(payload_text(it.output)),
    "run_failed": lambda it: _failure(it.failure),
    "run_cancelled": lambda it: it.reason,
    "run_cancel_requested": lambda it: it.reason,
    "step_created": lambda it: brief(f"{it.step_name} {payload_text(it.input)}"),
    "step_started": lambda it: f"attempt {it.attempt}",
    "step_completed": lambda it: brief(f"attempt {it.attempt}: {payload_text(it.output)}"),
    "step_failed": lambda it: brief(f"attempt {it.attempt}: {_failure(it.failure)}"),
    "step_retrying": lambda it: brief(
        f"attempt {it.attempt}: {_failure(it.failure)}; again at {local_time(it.retry_time)[11:]}"
    ),
    "hook_created": lambda it: f"token {it.token}",
    "hook_received": lambda it: brief(payload_text(it.payload)),
    "hook_disposed": lambda it: it.reason,
    "hook_conflict": lambda it: f"token {it.token} is held by {it.holder_run_id}",
    "wait_created": lambda it: f"until {local_time(it.resume_time)}",
    "wait_completed": lambda it: "",
    "attributes_set": _changes,
    "patch_applied": lambda it: it.name,
}
