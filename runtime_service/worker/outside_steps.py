"""The steps of a held run whose attempts run outside it: sent out with their creation, and called off.

A step with a queue of its own is a task from the transaction on that records it; after that its run need not be held by
anybody, and no process has to stay the same. The results come as facts of others and wake the run. While it is held,
the run is followed for them (``tasks/ends.py``).

Calling off: when the workflow no longer awaits such a step and that is in the log, the holder records the step's end as
cancelled, with a start before it when no attempt is under way, so that no later one begins. The worker learns of it
by a push or its next heartbeat, and what it still reports is refused. The interleaving: (1) the await is cancelled by
a decision; (2) that decision is committed; only then (3) the end is written, alone or with what follows. Before (2)
a refusal could make the cancellation undone, and a fact cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

from holdfast.queues import goes_out
from holdfast.v1 import event_pb2, payload_pb2, queue_service_pb2
from runtime_service.replay.open_entities import OpenStep
from runtime_service.spans import run_carrier
from runtime_service.tasks.messages import TaskAddress, task_message
from runtime_service.worker.history import History
from runtime_service.worker.surroundings import Surroundings


class OutsideSteps:
    """The steps of one held run that are out. ``missed`` is called when the log may have grown by a result."""

    def __init__(self, around: Surroundings, history: History, missed: Callable[[], None]) -> None:
        self._around = around
        self._history = history
        self._missed = missed
        self._following = ExitStack()
        self._is_following = False

    def have(self, step: OpenStep) -> bool:
        """Tell whether attempts of this step run outside."""
        return self._around.options.hands_out_steps and goes_out(step.queue)

    def tasks(self, decisions: Iterable[event_pb2.Event]) -> Iterator[queue_service_pb2.NewQueueMessage]:
        """Build the tasks of the steps that these decisions create."""
        for event in decisions:
            if event.HasField("step_created") and goes_out(event.step_created.queue) and self._hands_out:
                created = self._history.events[0]
                # Without a tracer here the context of whoever started the run is passed on.
                trace = run_carrier(created) or created.trace_context
                yield task_message(TaskAddress.of(self._history.run_id, self._history.workflow_name, event, trace))

    def called_off(self, steps: Iterable[OpenStep]) -> Iterator[event_pb2.Event]:
        """Build the ends of those recorded steps that the workflow, by the log alone, no longer waits for."""
        for step in steps:
            if step.is_recorded and not step.is_wanted and self.have(step):
                # A retry that is not due yet cannot be started, so it cannot be ended either: when it is due.
                if not step.is_running and (step.retry_time_ms or 0) > self._around.clock():
                    continue
                if not step.is_running:
                    yield self._started(step)
                yield _cancelled(step, step.attempt + (not step.is_running))

    def follow(self, steps: Iterable[OpenStep]) -> None:
        """Follow the run while one of these is out, and no longer."""
        is_wanted = any(map(self.have, steps))
        if is_wanted and not self._is_following:
            self._following.enter_context(self._around.ends.follow(self._history.run_id, self._tell))
        elif not is_wanted and self._is_following:
            self._following.close()
        self._is_following = is_wanted

    def close(self) -> None:
        """Follow nothing any more."""
        self._following.close()

    @property
    def _hands_out(self) -> bool:
        return self._around.options.hands_out_steps

    def _tell(self, event: event_pb2.Event | None) -> None:
        if event is None or event.seq > self._history.seq:
            self._missed()

    def _started(self, step: OpenStep) -> event_pb2.Event:
        runtime_id = self._around.options.runtime_id
        started = event_pb2.StepStarted(attempt=step.attempt + 1, worker_id=runtime_id)
        return event_pb2.Event(correlation_id=step.step_id, writer=runtime_id, step_started=started)


def _cancelled(step: OpenStep, attempt: int) -> event_pb2.Event:
    failure = payload_pb2.Failure(
        type="CancelledError",
        message=step.why_unwanted,
        non_retryable=True,
        category=payload_pb2.FAILURE_CATEGORY_CANCELLED,
    )
    return event_pb2.Event(
        correlation_id=step.step_id, step_failed=event_pb2.StepFailed(failure=failure, attempt=attempt)
    )
