"""What the runtime may look at between two turns: the open steps of a run.

Everything here is derived from the log by ``steps.py``, the only one who changes it; a delivery changes what others
hold of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.definitions import StepDefinition
from holdfast.v1 import entity_pb2, payload_pb2


@dataclass(slots=True, eq=False)
class OpenStep:
    """A step that was called and has no result yet. Times are epoch milliseconds, None when not so.

    ``attempt`` is the last one started, 0 before the first. ``is_recorded``: its creation is in the log.
    ``is_wanted`` is False once the workflow cancelled the await: a running attempt should be cancelled and no
    other one started; ``cancel_reason`` is what was said then, "" for nothing. ``queue`` is the recorded one:
    where it was sent, whatever the code says by now.
    """

    step_id: str
    definition: StepDefinition
    input: payload_pb2.Payload
    attempt: int = 0
    status: entity_pb2.StepStatus.ValueType = entity_pb2.STEP_STATUS_PENDING
    retry_time_ms: int | None = None
    first_started_ms: int | None = None
    last_failure: payload_pb2.Failure | None = None
    heartbeat_details: payload_pb2.Payload | None = None
    is_recorded: bool = False
    is_wanted: bool = True
    cancel_reason: str = ""
    queue: str = ""

    @property
    def why_unwanted(self) -> str:
        """What the body of an unwanted step is told."""
        return self.cancel_reason or "the workflow no longer waits for it"

    @property
    def is_running(self) -> bool:
        """Whether an attempt is under way by the log (its process may be gone)."""
        return self.status == entity_pb2.STEP_STATUS_RUNNING
