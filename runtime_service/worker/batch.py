"""One write of a run: what is fed to the replay first, what it concluded, and which attempts begin.

The order in a batch is the order in which the live instance has taken, or will take, its events: first what was
fed before the commit (facts of our own, timers that are due), then the decisions, then the starts. The order of the log
and the order of consumption are therefore the same, which is all that makes a live instance equal to a replay.
Pure: no clock, no socket. Read ``turn.py`` for how a batch is made and ``hold.py`` for how it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.v1 import event_pb2, queue_service_pb2, store_service_pb2
from runtime_service.replay.open_entities import OpenStep
from runtime_service.worker.history import TERMINAL_TYPES, History

#: Events and bytes of one write, well inside the store's limits (1,000 events, 3 MiB of payloads).
BATCH_EVENTS_MAX: Final = 500
BATCH_BYTES_MAX: Final = 2 * 1024 * 1024 + 512 * 1024

#: Facts a step attempt left behind; they are written alone when the guard refuses the batch they were in.
OUTCOME_TYPES: Final = frozenset(
    (
        event_pb2.EVENT_TYPE_STEP_COMPLETED,
        event_pb2.EVENT_TYPE_STEP_FAILED,
        event_pb2.EVENT_TYPE_STEP_RETRYING,
        event_pb2.EVENT_TYPE_ATTRIBUTES_SET,
    )
)

_KINDS: Final = {
    field.name: event_pb2.EventType.Value(f"EVENT_TYPE_{field.name.upper()}")
    for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["attributes"].fields
}


#: The arms of the kinds after which a run takes no more events.
_ENDS: Final = frozenset(name for name, kind in _KINDS.items() if kind in TERMINAL_TYPES)


def kind_of(event: event_pb2.Event) -> int:
    """Return the EventType of an event, committed or not: the arm decides."""
    return _KINDS[event.WhichOneof("attributes") or ""]


@dataclass(frozen=True, slots=True)
class Start:
    """An attempt that begins with this batch."""

    event: event_pb2.Event
    step: OpenStep


@dataclass(slots=True)
class Batch:
    """One write. ``fed`` has been delivered to the instance already, in this order; the rest follows the commit.

    ``tasks`` are the messages of those steps among the decisions whose attempts run outside.
    """

    fed: list[event_pb2.Event] = field(default_factory=list)
    decisions: list[event_pb2.Event] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    tasks: list[queue_service_pb2.NewQueueMessage] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.fed or self.decisions or self.starts)

    @property
    def count(self) -> int:
        return len(self.fed) + len(self.decisions) + len(self.starts)

    @property
    def events(self) -> list[event_pb2.Event]:
        return [*self.fed, *self.decisions, *(start.event for start in self.starts)]

    @property
    def outcomes(self) -> list[event_pb2.Event]:
        """The facts that must survive a refusal of the batch: what attempts here left behind.

        Not the results of passive steps, which begin in the batch that ends them: they are looked up again.
        """
        begun = {event.correlation_id for event in self.fed if event.HasField("step_started")}
        return [event for event in self.fed if kind_of(event) in OUTCOME_TYPES and event.correlation_id not in begun]

    @property
    def is_guarded(self) -> bool:
        """Whether anything in it was concluded from the loaded log, timers included."""
        return bool(self.decisions) or any(event.HasField("wait_completed") for event in self.fed)

    @property
    def ends_the_run(self) -> bool:
        return bool(self.decisions) and self.decisions[-1].WhichOneof("attributes") in _ENDS

    def request(self, history: History, receipt: str) -> store_service_pb2.CreateEventsRequest:
        """Build the create: guarded by the history's snapshot when anything was decided, fenced by the lease always."""
        request = store_service_pb2.CreateEventsRequest(run_id=history.run_id, events=self.events, messages=self.tasks)
        if self.is_guarded:
            request.state_updated_at = history.snapshot
            request.state_seq = history.seq
        else:
            request.delta_after_seq = history.seq
        (request.ack_receipts if self.ends_the_run else request.held_receipts).append(receipt)
        return request


def fitting(decisions: Sequence[event_pb2.Event], *, events: int, bytes_left: int, at_least: int) -> int:
    """Return how many leading decisions fit into ``events`` and ``bytes_left``, but ``at_least`` so many."""
    count = 0
    for event in decisions[: max(0, events)]:
        bytes_left -= event.ByteSize()
        if bytes_left < 0 and count >= at_least:
            break
        count += 1
    return count


def committed(sent: event_pb2.Event, answer: event_pb2.Event) -> event_pb2.Event:
    """Put what the store assigned into what was sent (it has the payloads), and return that: it is the event now.

    An answer of another kind than was sent (HOOK_CONFLICT) stands as it is.
    """
    if answer.type != kind_of(sent):
        return answer
    sent.event_id, sent.run_id, sent.seq = answer.event_id, answer.run_id, answer.seq
    sent.type, sent.origin = answer.type, answer.origin
    sent.create_time.CopyFrom(answer.create_time)
    if answer.type == event_pb2.EVENT_TYPE_HOOK_CREATED:
        sent.hook_created.token = answer.hook_created.token
    return sent
