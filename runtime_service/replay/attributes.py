"""The run's searchable attributes as the workflow sees them: what the log holds, then its own changes not yet there.

Steps change attributes too, and so does whoever writes from outside. The record of a step is a fact and says when it
happened, which a decision never does: a record of a replay without a time is the workflow's own, and must equal the
oldest change that the code asked for and the log has not shown yet. Whoever wrote it, the log decides what they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

from holdfast.v1 import event_pb2
from runtime_service.replay.commands import Command, Commands
from runtime_service.replay.divergence import check_attributes, not_called
from runtime_service.replay.source import calling_line


class Attributes:
    """The attributes of one run."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._recorded: dict[str, str] = {}
        self._pending: deque[tuple[str, Command]] = deque()
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
        command = self._commands.emit(key, event_pb2.Event(attributes_set=told), calling_line())
        self._pending.append((key, command))

    def record(self, event: event_pb2.Event) -> None:
        """The log has a change. Raises ReplayDivergence when it is the workflow's and the code asked for another."""
        if event.origin == event_pb2.EVENT_ORIGIN_REPLAY and not event.HasField("occur_time"):
            if not self._pending:
                raise not_called(event, self._commands)
            key, command = self._pending.popleft()
            check_attributes(event, command)
            self._commands.confirm(key)
        _apply(self._recorded, event.attributes_set)

    @property
    def current(self) -> Mapping[str, str]:
        """What the attributes are at this point of the log, with our own changes on top."""
        current = dict(self._recorded)
        for _, command in self._pending:
            _apply(current, command.event.attributes_set)
        return MappingProxyType(current)


def _apply(attributes: dict[str, str], told: event_pb2.AttributesSet) -> None:
    for key in told.removed:
        attributes.pop(key, None)
    attributes.update(told.set)
