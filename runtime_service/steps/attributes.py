"""The attributes of a run as its steps in one process see them: those of the log, and what attempts here set since.

Owns the count that ``set_attributes`` is checked against, so that attempts which run at the same time and together
would give the run too many learn of it at the call. It knows nothing of what others write at this very moment: the
store counts that. Safe from any thread, because bodies of plain functions have threads of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from holdfast.limits import check_attribute_count
from holdfast.v1 import event_pb2

_Changes = Mapping[str, str | None]

#: What an attempt reports last: what it set before is in the log by then, or never will be.
_ENDS = frozenset({"step_completed", "step_failed", "step_retrying"})


class AttributesInWork:
    """What the log holds, read with ``recorded`` and ``events``, and the changes that are not there yet."""

    def __init__(
        self, recorded: Callable[[], Mapping[str, str]], events: Callable[[], Sequence[event_pb2.Event]] = tuple
    ) -> None:
        self._recorded = recorded
        self._events = events
        self._seen = 0
        self._told: list[tuple[str, _Changes]] = []
        self._lock = threading.Lock()

    @property
    def present(self) -> Mapping[str, str]:
        """The attributes as they will be once everything told so far is written."""
        with self._lock:
            return self._present()

    def change(self, step_id: str, changes: _Changes) -> None:
        """Count the changes of a step in. Raises LimitExceeded when the run would have too many attributes."""
        with self._lock:
            check_attribute_count(self._present(), changes)
            self._told.append((step_id, dict(changes)))

    def _present(self) -> Mapping[str, str]:
        self._follow()
        present: dict[str, str | None] = {**self._recorded()}
        for _, changes in self._told:
            present.update(changes)
        return {key: value for key, value in present.items() if value is not None}

    def _follow(self) -> None:
        """Forget the changes that the log has shown since the last look."""
        events = self._events()
        new = events[self._seen :] if self._told else ()
        self._seen = len(events)
        for event in new:
            kind = event.WhichOneof("attributes")
            if kind == "attributes_set":
                self._forget(event.correlation_id, at_most=1)
            elif kind in _ENDS:
                self._forget(event.correlation_id, at_most=len(self._told))

    def _forget(self, step_id: str, *, at_most: int) -> None:
        for told in [told for told in self._told if told[0] == step_id][:at_most]:
            self._told.remove(told)
