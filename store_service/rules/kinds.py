"""What each kind of event is: the one table that every rule asks.

Owns the facts of the contract about an `EventType`: which arm carries it, which entity it belongs to, whether it
is a decision of a replay, whether it moves the marker, whether it ends the run. It must never hold behaviour: what
an event does to rows is ``projection.py``, what a state allows is ``transitions.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from holdfast.v1 import event_pb2
from store_service.engines.contract import EntityKind


class Marker(Enum):
    """When an event of a kind moves the run's marker, that is: can change what a replay decides (design §9)."""

    NEVER = "never"
    ALWAYS = "always"
    UNLESS_REPLAY = "unless a replay wrote it"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event. ``entity`` is None for events of the run itself; ``arm`` is the field of `Event`."""

    name: str
    arm: str
    entity: EntityKind | None = None
    is_decision: bool = False
    marker: Marker = Marker.NEVER
    ends_run: bool = False


def _kind(event_type: int, **facts: object) -> tuple[int, Kind]:
    name = event_pb2.EventType.Name(event_pb2.EventType.ValueType(event_type))
    return event_type, Kind(name=name, arm=name.removeprefix("EVENT_TYPE_").lower(), **facts)  # type: ignore[arg-type]


_STEP, _HOOK, _WAIT = EntityKind.STEP, EntityKind.HOOK, EntityKind.WAIT

#: Every event type but UNSPECIFIED. `tests/rules/test_tables.py` holds it complete.
KINDS: Final[Mapping[int, Kind]] = MappingProxyType(
    dict(
        [
            _kind(event_pb2.EVENT_TYPE_RUN_CREATED),
            _kind(event_pb2.EVENT_TYPE_RUN_STARTED),
            _kind(event_pb2.EVENT_TYPE_RUN_COMPLETED, is_decision=True, ends_run=True),
            _kind(event_pb2.EVENT_TYPE_RUN_FAILED, is_decision=True, marker=Marker.UNLESS_REPLAY, ends_run=True),
            _kind(event_pb2.EVENT_TYPE_RUN_CANCELLED, is_decision=True, marker=Marker.UNLESS_REPLAY, ends_run=True),
            _kind(event_pb2.EVENT_TYPE_RUN_CANCEL_REQUESTED, marker=Marker.ALWAYS),
            _kind(event_pb2.EVENT_TYPE_STEP_CREATED, entity=_STEP, is_decision=True),
            _kind(event_pb2.EVENT_TYPE_STEP_STARTED, entity=_STEP),
            _kind(event_pb2.EVENT_TYPE_STEP_COMPLETED, entity=_STEP, marker=Marker.ALWAYS),
            _kind(event_pb2.EVENT_TYPE_STEP_FAILED, entity=_STEP, marker=Marker.ALWAYS),
            _kind(event_pb2.EVENT_TYPE_STEP_RETRYING, entity=_STEP),
            _kind(event_pb2.EVENT_TYPE_HOOK_CREATED, entity=_HOOK, is_decision=True),
            _kind(event_pb2.EVENT_TYPE_HOOK_RECEIVED, entity=_HOOK, marker=Marker.ALWAYS),
            _kind(event_pb2.EVENT_TYPE_HOOK_DISPOSED, entity=_HOOK, is_decision=True, marker=Marker.UNLESS_REPLAY),
            _kind(event_pb2.EVENT_TYPE_HOOK_CONFLICT, entity=_HOOK, is_decision=True),
            _kind(event_pb2.EVENT_TYPE_WAIT_CREATED, entity=_WAIT, is_decision=True),
            _kind(event_pb2.EVENT_TYPE_WAIT_COMPLETED, entity=_WAIT, is_decision=True, marker=Marker.ALWAYS),
            _kind(event_pb2.EVENT_TYPE_ATTRIBUTES_SET, is_decision=True),
            _kind(event_pb2.EVENT_TYPE_PATCH_APPLIED, is_decision=True),
        ]
    )
)

_TYPES_BY_ARM: Final[Mapping[str | None, event_pb2.EventType.ValueType]] = {
    None: event_pb2.EVENT_TYPE_UNSPECIFIED,
    **{kind.arm: event_pb2.EventType.ValueType(event_type) for event_type, kind in KINDS.items()},
}


def type_of(event: event_pb2.Event) -> event_pb2.EventType.ValueType:
    """Return the type that the event's ``attributes`` arm says; UNSPECIFIED when no arm is set."""
    return _TYPES_BY_ARM[event.WhichOneof("attributes")]


def moves_marker(event: event_pb2.Event) -> bool:
    """Return whether a committed event can change what a replay decides that has not seen it."""
    marker = KINDS[event.type].marker
    return marker is Marker.ALWAYS or (marker is Marker.UNLESS_REPLAY and event.origin != event_pb2.EVENT_ORIGIN_REPLAY)


def is_replayed_decision(event: event_pb2.Event) -> bool:
    """Return whether a committed event is a decision that a replay wrote: what `replay_seq` counts."""
    return event.origin == event_pb2.EVENT_ORIGIN_REPLAY and KINDS[event.type].is_decision
