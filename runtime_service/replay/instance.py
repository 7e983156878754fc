"""A replay of one run: deliver exactly one event, run until quiet, then the next.

This is all that the runtime sees of replay. The same object serves a cold replay and a live run: what the code asked
for and the log does not show yet are the decisions. Pure: no clock, no socket, no store; silent.

The law of order: events are delivered in the order of the log. Whoever breaks it gets OutOfOrder, for no second replay
could have agreed. Read ``effects.py`` for what an event does, ``loop.py`` for how code runs.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from holdfast.context import RunInfo
from holdfast.definitions import WorkflowDefinition
from holdfast.v1 import event_pb2
from runtime_service.replay import effects, foresight, guard, silence
from runtime_service.replay.divergence import OutOfOrder
from runtime_service.replay.eviction import lay_to_rest
from runtime_service.replay.open_entities import OpenStep
from runtime_service.replay.parts import Parts, assemble

#: What is alive and not evicted. Held here so that the collector never finds a suspended coroutine before the instance
#: that it belongs to has been evicted: a forgotten instance must not run ``finally`` blocks either.
_live: Final[dict[int, Parts]] = {}


class Instance:
    """The live coroutine of a run and everything it waits for. Not safe for use by two threads at once."""

    def __init__(self, workflow: WorkflowDefinition, run_id: str) -> None:
        self._is_evicted = True
        guard.install()
        silence.install()
        guard.adopt(workflow.function.__globals__)
        self.run_id = run_id
        #: Events delivered so far; the seq of the last one.
        self.position = 0
        #: What made this instance useless, None while it works: ReplayDivergence, NotDeterministic or OutOfOrder.
        self.failure: BaseException | None = None
        self._parts = assemble(workflow, run_id)
        self._has_ended = False
        self._is_evicted = False
        _live[id(self._parts)] = self._parts

    def __del__(self) -> None:
        self.evict()

    def foresee(self, events: Iterable[event_pb2.Event]) -> None:
        """Tell what the log goes on with, as far as it is loaded; to be called before those events are delivered.

        Only ``patched`` looks at it: whether code went past a call before can be seen nowhere else. Events that were
        delivered are passed over.
        """
        for event in events:
            if event.seq > self.position:
                foresight.foresee(self._parts, event)

    def deliver(self, event: event_pb2.Event, *, is_replayed: bool = False) -> None:
        """Take exactly one event and run the workflow until it waits again.

        The event is a committed one, or a fact of our own that is about to be committed as the next: then its seq is 0.
        ``is_replayed``: the reaction to it was seen before, so log lines of the workflow are dropped.

        Raises ReplayDivergence when code and log disagree, NotDeterministic when the workflow reached outside or
        never comes to rest, OutOfOrder when the event is not the next. After any of them the instance is dead: it
        raises the same again, and is to be evicted.
        """
        assert not self._is_evicted, f"an event for the evicted instance of run {self.run_id}"
        if self.failure is not None:
            raise self.failure
        try:
            self._take(event, is_replayed)
        except BaseException as error:
            self.failure = error
            raise

    def take_decisions(self) -> list[event_pb2.Event]:
        """Return what the workflow asked for since the last take, in its order, and the end of the run last.

        Each is returned once, without ``occur_time``. What was called off before it was taken is left out.
        """
        return self._parts.commands.take()

    def pending(self) -> list[tuple[event_pb2.Event, str]]:
        """Return the decisions that the log does not have, each with its source ("file:line" or ""); takes none."""
        return [(command.event, command.source) for command in self._parts.commands.pending()]

    def open_steps(self) -> Mapping[str, OpenStep]:
        """Step id → step, for those that have no result yet; a view that the next delivery changes."""
        return self._parts.steps.open

    def open_waits(self) -> Mapping[str, int]:
        """Wait id → when it is due (epoch ms), for those that the workflow still waits for; a view."""
        return self._parts.timers.open

    def due_wait(self, now_ms: int) -> str | None:
        """Return the id of the recorded wait that is due first, None when none is due yet."""
        return self._parts.timers.due(now_ms)

    def run_info(self) -> RunInfo:
        """Return the run as its code sees it at this point of the log."""
        return self._parts.context.run_info()

    @property
    def is_ended(self) -> bool:
        """Whether the workflow has come to its end, or the log has."""
        return self._parts.life.ending is not None

    @property
    def now_ms(self) -> int:
        """The workflow's clock, epoch milliseconds."""
        return self._parts.clock.now_ms

    def now(self) -> datetime:
        """The workflow's clock, aware, UTC."""
        return self._parts.clock.now()

    def evict(self) -> None:
        """Drop the coroutine without running any of its code. Idempotent; the instance is of no use afterwards."""
        if not self._is_evicted:
            self._is_evicted = True
            _drop(self._parts)

    def _take(self, event: event_pb2.Event, is_replayed: bool) -> None:
        if event.seq not in (0, self.position + 1) or (self.position == 0) != event.HasField("run_created"):
            raise OutOfOrder(self.run_id, self.position, event.seq)
        self.position += 1
        parts = self._parts
        parts.clock.advance(event)
        effects.apply(parts, event)
        parts.loop.run_until_quiet(is_replayed=is_replayed)
        if parts.life.settle():
            parts.life.clean_up(is_replayed=is_replayed)
        if self.is_ended and not self._has_ended:
            self._has_ended = True
            self._retire()

    def _retire(self) -> None:
        """The run has come to its end: nothing is wanted any more, and what still hangs never runs again."""
        self._parts.steps.close()
        self._parts.timers.close()
        lay_to_rest(self._parts.loop.abandon())


def _drop(parts: Parts) -> None:
    _live.pop(id(parts), None)
    lay_to_rest(parts.loop.abandon())


@atexit.register
def _drop_all() -> None:
    for parts in list(_live.values()):
        _drop(parts)
