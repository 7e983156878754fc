"""A simulated runtime: what a `Hold` does between two awaits, as a value and a function.

Owns the memory of a runtime (how much of the log it has, what runs there, what it has not recorded) and the question
what it decides from that. The deciding is the deployed code: `Turn` on an `Instance` that replays the loaded prefix,
and `Batch.request`. Reactions to answers follow ``worker/writer.py`` and ``worker/hold.py``. A value can be kept,
compared and gone back to, which a coroutine cannot: that is why the hold itself is simulated elsewhere (``held.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.definitions import WorkflowDefinition, definition_of
from holdfast.v1 import event_pb2, store_service_pb2
from runtime_service.replay.instance import Instance
from runtime_service.worker.batch import Batch
from runtime_service.worker.history import History
from runtime_service.worker.options import WorkerOptions
from runtime_service.worker.outside_steps import OutsideSteps
from runtime_service.worker.turn import Turn
from tests.simulation.desk import RUN
from tests.simulation.shapes import Shape

Event = event_pb2.Event


@dataclass(frozen=True, slots=True)
class Decided:
    """What a turn came to: a batch, empty when there is nothing to do; when the run is due again, None for never."""

    batch: Batch
    request: store_service_pb2.CreateEventsRequest | None
    due_ms: int | None


@dataclass(frozen=True, slots=True)
class Player:
    """One runtime. ``receipt`` is "" while it holds nothing.

    ``known``: how many events it has loaded. ``attempts``: (step id, attempt) that run here. ``outcomes``: serialized
    results not yet recorded. ``is_refused``: they are to be written alone. ``lost``: the write whose answer did not
    come.
    """

    name: str
    receipt: str = ""
    known: int = 0
    attempts: tuple[tuple[str, int], ...] = ()
    outcomes: tuple[bytes, ...] = ()
    is_refused: bool = False
    lost: Decided | None = None

    @property
    def memory(self) -> object:
        """Everything but the receipt, whose text means nothing: to tell states apart by."""
        lost = self.lost.request.SerializeToString(deterministic=True) if self.lost and self.lost.request else b""
        return self.name, bool(self.receipt), self.known, self.attempts, self.outcomes, self.is_refused, lost


class _Here:
    """The surroundings of a runtime that runs every step itself."""

    def __init__(self, name: str) -> None:
        self.options = WorkerOptions(runtime_id=name, hands_out_steps=False)


class Mind:
    """Decides for players, and remembers what it decided: a decision is a function of what was loaded."""

    def __init__(self, shape: Shape) -> None:
        definition = definition_of(shape.workflow)
        assert isinstance(definition, WorkflowDefinition)
        self._definition: Final = definition
        self._decided: dict[object, Decided] = {}

    def decide(self, player: Player, log: Sequence[Event], prefix: object, now_ms: int) -> Decided:
        """Return what this player decides. ``prefix`` stands for the events that it has loaded."""
        key = (prefix, player.name, player.attempts, player.outcomes, now_ms)
        if key not in self._decided:
            self._decided[key] = self._turn(player, log, now_ms)
        return self._decided[key]

    def replayed(self, log: Sequence[Event]) -> Instance:
        """Return an instance that has taken a whole log. Raises what a replay raises."""
        instance = Instance(self._definition, RUN)
        instance.foresee(log)
        for event in log:
            instance.deliver(event, is_replayed=True)
        return instance

    def _turn(self, player: Player, log: Sequence[Event], now_ms: int) -> Decided:
        history = History(RUN, log[: player.known])
        instance = self.replayed(history.events)
        running = [step_id for step_id, _ in player.attempts]
        turn = Turn(
            history=history,
            instance=instance,
            outcomes=deque(Event.FromString(it) for it in player.outcomes),
            left_over=deque(),
            is_running=running,
            now_ms=now_ms,
            runtime_id=player.name,
            public_url="",
            outside=OutsideSteps(_Here(player.name), history, lambda: None),  # type: ignore[arg-type]
            take_slot=lambda: True,
        )
        batch = turn.take()
        # As Hold._next_due_ms.
        retries = [
            it.retry_time_ms
            for it in instance.open_steps().values()
            if it.retry_time_ms and it.is_wanted and it.step_id not in running
        ]
        due_ms = min([*instance.open_waits().values(), *retries], default=None)
        request = batch.request(history, "") if batch else None
        instance.evict()
        return Decided(batch, request, due_ms)
