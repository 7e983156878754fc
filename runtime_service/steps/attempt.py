"""What goes into one attempt of a step and what comes out of it: two values, no behaviour.

``runner.py`` turns the one into the other; ``worker/attempts.py`` makes the first and writes the second to the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.context import RunInfo
from holdfast.definitions import StepDefinition
from holdfast.tracing import Carrier
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.steps.attributes import AttributesInWork


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to run. ``attempt`` counts from 1; ``first_started_ms`` is the start of the first one (epoch ms).

    ``heartbeat_details`` are what an earlier attempt reported last, None when there is nothing; ``trace_context`` is
    that of the run. ``attributes`` are shared by the attempts of the run in this process; None when it is alone.
    """

    step_id: str
    definition: StepDefinition
    input: payload_pb2.Payload
    attempt: int
    run: RunInfo
    first_started_ms: int
    heartbeat_details: payload_pb2.Payload | None = None
    trace_context: Carrier = field(default_factory=dict)
    attributes: AttributesInWork | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A fact that an attempt left behind, with correlation_id and occur_time set.

    ``step_completed``, ``step_failed`` and ``step_retrying`` end the attempt and come exactly once, last.
    ``attributes_set`` may come before, any number of times, when the body changed attributes of its run.
    """

    event: event_pb2.Event

    @property
    def ends_attempt(self) -> bool:
        return not self.event.HasField("attributes_set")
