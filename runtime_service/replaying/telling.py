"""One run told: for each event of its log what the code asked for next, and at last what is asked for and not written.

The decisions are looked at, never taken: taking them would make the replay differ from the one that a runtime does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from holdfast.definitions import WorkflowDefinition
from holdfast.errors import NotDeterministic, ReplayDivergence
from holdfast.v1 import event_pb2
from runtime_service.replay.divergence import describe
from runtime_service.replay.instance import Instance
from runtime_service.replaying.divergence import Divergence, divergence_at


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that the code asked for. ``words`` are for people, ``source`` is "file:line" or ""."""

    event: event_pb2.Event
    words: str
    source: str


@dataclass(frozen=True, slots=True)
class Told:
    """What one event did. ``event`` is None for the last: then ``asked`` is what is to be written next."""

    event: event_pb2.Event | None
    asked: tuple[Asked, ...] = ()
    divergence: Divergence | None = None


def tell(workflow: WorkflowDefinition, events: Sequence[event_pb2.Event]) -> Iterator[Told]:
    """Replay a log and tell each event; ends with the pending decisions, or with the event at which it diverges."""
    instance = Instance(workflow, events[0].run_id)
    known: dict[int, event_pb2.Event] = {}
    try:
        instance.foresee(events)
        for event in events:
            try:
                instance.deliver(event, is_replayed=True)
            except (ReplayDivergence, NotDeterministic) as error:
                yield Told(event, divergence=divergence_at(workflow, event, error))
                return
            fresh = [it for it in instance.pending() if id(it[0]) not in known]
            # The events are kept, so that no later one gets the identity of one that is gone.
            known.update((id(asked), asked) for asked, _ in fresh)
            yield Told(event, _asked(fresh))
        yield Told(None, _asked(instance.pending()))
    finally:
        instance.evict()


def _asked(pending: Sequence[tuple[event_pb2.Event, str]]) -> tuple[Asked, ...]:
    return tuple(Asked(event, describe(event), source) for event, source in pending)
