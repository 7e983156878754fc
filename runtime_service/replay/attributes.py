"""The run's searchable attributes as the workflow sees them: what the log holds, then its own changes not yet there.

Steps change attributes too, and such a record looks like our own. One that equals the oldest change of ours that is not
recorded confirms it; any other came from a step. Either way the log decides what the attributes are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

from holdfast.v1 import event_pb2
from runtime_service.replay.commands import Commands


class Attributes:
    """The attributes of one run."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._recorded: dict[str, str] = {}
        self._pending: deque[tuple[str, event_pb2.AttributesSet]] = deque()
        self._count = 0

    def begin(self, attributes: Mapping[str, str]) -> None:
        self._recorded = dict(attributes)

    def change(self, changes: Mapping[str, str | None]) -> None:
        """Set attributes; None removes one. Limits are the caller's (``holdfast.set_attributes``)."""
        if not changes:
            return
        told = event_pb2.AttributesSet(
            set={key: value for key, value in changes.items() if value is not None},
            removed=[key for key, value in changes.items() if value is None],
        )
        self._count += 1
        key = f"attributes #{self._count}"
        self._commands.emit(key, event_pb2.Event(attributes_set=told))
        self._pending.append((key, told))

    def record(self, told: event_pb2.AttributesSet) -> None:
        """The log has a change: ours or a step's."""
        if self._pending and _is_same(self._pending[0][1], told):
            self._commands.confirm(self._pending.popleft()[0])
        _apply(self._recorded, told)

    @property
    def current(self) -> Mapping[str, str]:
        """What the attributes are at this point of the log, with our own changes on top."""
        current = dict(self._recorded)
        for _, told in self._pending:
            _apply(current, told)
        return MappingProxyType(current)


def _is_same(one: event_pb2.AttributesSet, other: event_pb2.AttributesSet) -> bool:
    return one.set == other.set and set(one.removed) == set(other.removed)


def _apply(attributes: dict[str, str], told: event_pb2.AttributesSet) -> None:
    for key in told.removed:
        attributes.pop(key, None)
    attributes.update(told.set)
