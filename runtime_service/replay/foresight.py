"""The table: event kind → the command that it records, for events that the log has further down.

A replay takes one event at a time and must not depend on how much of the log is loaded. One question cannot be answered
from behind, though: whether code has been here before (``patches.py``). This table answers it, and nothing else may
look ahead. Facts are not in it: they say nothing about how far any code had come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from holdfast.v1 import event_pb2
from runtime_service.replay.commands import END, disposal_of
from runtime_service.replay.parts import Parts

Key = Callable[[event_pb2.Event], str]


def _entity(event: event_pb2.Event) -> str:
    return event.correlation_id


def _end(event: event_pb2.Event) -> str:
    return END


#: Decision of a replay → key of its command. Attributes are left out: a step changes them too, in the same words.
KEYS: Final[Mapping[str, Key]] = MappingProxyType(
    {
        "step_created": _entity,
        "hook_created": _entity,
        "hook_conflict": _entity,
        "hook_disposed": lambda event: disposal_of(event.correlation_id),
        "wait_created": _entity,
        "patch_applied": lambda event: event.patch_applied.call_id,
        "run_completed": _end,
        "run_failed": _end,
        "run_cancelled": _end,
    }
)

#: What others write too; it counts when a replay wrote it.
_ALSO_FROM_OUTSIDE: Final = frozenset(("hook_disposed", "run_failed", "run_cancelled"))


def foresee(parts: Parts, event: event_pb2.Event) -> None:
    """Note what an event that is not delivered yet is the record of."""
    kind = event.WhichOneof("attributes") or ""
    key = KEYS.get(kind)
    if key is None or (kind in _ALSO_FROM_OUTSIDE and event.origin != event_pb2.EVENT_ORIGIN_REPLAY):
        return
    parts.commands.foresee(key(event))
    if kind == "patch_applied":
        parts.patches.foresee(event.patch_applied)
