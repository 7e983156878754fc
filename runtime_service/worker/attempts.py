"""The step attempts that run in this process for one held run."""

from __future__ import annotations

from collections.abc import Callable, Collection

from holdfast.v1 import event_pb2
from runtime_service.replay.open_entities import OpenStep
from runtime_service.spans import run_carrier
from runtime_service.steps.attributes import AttributesInWork
from runtime_service.steps.runner import Attempt, Outcome, RunningAttempt
from runtime_service.worker.batch import Start
from runtime_service.worker.history import History
from runtime_service.worker.surroundings import Surroundings


class Attempts:
    """Begins attempts after their start is durable, and reports what they left behind as facts.

    Each running attempt owns one slot of the worker.
    """

    def __init__(self, around: Surroundings, history: History, report: Callable[[event_pb2.Event], None]) -> None:
        self._around = around
        self._history = history
        self._report = report
        self._running: dict[str, RunningAttempt] = {}
        self._attributes = AttributesInWork(lambda: dict(history.attributes), lambda: history.events)

    @property
    def running(self) -> Collection[str]:
        """Ids of the steps with an attempt here."""
        return self._running.keys()

    def begin(self, start: Start, started_ms: int) -> None:
        """Run an attempt whose step_started is committed."""
        step = start.step
        attempt = Attempt(
            step_id=step.step_id,
            definition=step.definition,
            input=step.input,
            attempt=start.event.step_started.attempt,
            run=self._history.run_info(),
            first_started_ms=step.first_started_ms or started_ms,
            heartbeat_details=step.heartbeat_details,
            trace_context=run_carrier(self._history.events[0]),
            attributes=self._attributes,
        )
        self._running[step.step_id] = self._around.runner.start(attempt, self._ended)

    def cancel_unwanted(self, open_steps: Collection[OpenStep]) -> None:
        """Cancel attempts whose result nobody waits for any more; the step ends as cancelled."""
        for step in open_steps:
            if not step.is_wanted and step.step_id in self._running:
                self._running[step.step_id].cancel(step.why_unwanted, record=True)

    def stop(self, reason: str) -> None:
        """Cancel every attempt and forget it: nothing is reported."""
        while self._running:
            _, attempt = self._running.popitem()
            attempt.cancel(reason, record=False)
            self._around.slots.give_back()

    def _ended(self, outcome: Outcome) -> None:
        if outcome.ends_attempt:
            if self._running.pop(outcome.event.correlation_id, None) is None:
                return
            self._around.slots.give_back()
        self._report(outcome.event)
