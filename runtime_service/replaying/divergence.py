"""Whether a recorded log replays under the code that is loaded, and if not, where it parts first.

Pure: a log and a definition go in. The replay writes nothing, runs no step and is dropped without running any code
of the workflow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.definitions import WorkflowDefinition
from holdfast.errors import NotDeterministic, ReplayDivergence
from holdfast.v1 import event_pb2
from runtime_service.replay.instance import Instance

#: What differs between two runs that part at the same place: the n-th call, the n-th task.
_CALL: Final = re.compile(r"#\d+")
_TASKS: Final = re.compile(r"\d+/")


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where the replay of a run stopped. ``error`` is ReplayDivergence or NotDeterministic, ``source`` "file:line"."""

    run_id: str
    workflow: str
    seq: int
    kind: str
    entity_id: str
    error: str
    message: str
    source: str = ""

    @property
    def place(self) -> tuple[str, str, str, str, str]:
        """What runs have in common that part at the same place of the code."""
        what = self.message if self.error == NotDeterministic.__name__ else ""
        return self.workflow, self.kind, general(self.entity_id), self.source, what


def general(entity_id: str) -> str:
    """Return an id without its numbers: ``step_2/charge#7`` is ``step_*/charge#*``."""
    return _CALL.sub("#*", _TASKS.sub("*/", entity_id))


def first_divergence(workflow: WorkflowDefinition, events: Sequence[event_pb2.Event]) -> Divergence | None:
    """Replay a log from its first event; None when the code does what the log says."""
    instance = Instance(workflow, events[0].run_id)
    try:
        instance.foresee(events)
        for event in events:
            try:
                instance.deliver(event, is_replayed=True)
            except (ReplayDivergence, NotDeterministic) as error:
                return divergence_at(workflow, event, error)
        return None
    finally:
        instance.evict()


def divergence_at(
    workflow: WorkflowDefinition, event: event_pb2.Event, error: ReplayDivergence | NotDeterministic
) -> Divergence:
    """Describe the error that an event met."""
    return Divergence(
        run_id=event.run_id,
        workflow=workflow.name,
        seq=event.seq,
        kind=event.WhichOneof("attributes") or "unknown",
        entity_id=event.correlation_id,
        error=type(error).__name__,
        message=str(error),
        source=error.found_source if isinstance(error, ReplayDivergence) else "",
    )
