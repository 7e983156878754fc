"""One turn of a held run: feed what happened here, take what the replay concluded, choose which attempts begin.

A turn touches the instance and plain values only; writing is ``hold.py``. Facts are fed before decisions are taken, so
that everything one suspension decided goes out in one batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Final

from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.replay.clock import stamp_of
from runtime_service.replay.instance import Instance
from runtime_service.replay.open_entities import OpenStep
from runtime_service.worker.batch import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, Batch, Start, fitting
from runtime_service.worker.history import History
from runtime_service.worker.outside_steps import OutsideSteps

#: What an attempt of a step says of it: the step is open before, or it was somebody else's.
_ENDINGS: Final = frozenset(("step_completed", "step_failed", "step_retrying"))


@dataclass(slots=True)
class Turn:
    """What a turn works on.

    ``outcomes``: facts of local attempts not yet written. ``answers``: step id → result of passive steps whose time
    has come. ``left_over``: decisions that did not fit the last
    batch. ``is_running``: step ids with a local attempt. ``take_slot``: asks for the right to begin one.
    ``outside``: the steps whose attempts run elsewhere.
    """

    history: History
    instance: Instance
    outcomes: deque[event_pb2.Event]
    left_over: deque[event_pb2.Event]
    is_running: Container[str]
    now_ms: int
    runtime_id: str
    public_url: str
    outside: OutsideSteps
    take_slot: Callable[[], bool]
    answers: Mapping[str, event_pb2.Event] = field(default_factory=dict)
    is_draining: bool = False
    forgiven: Container[str] = ()
    batch: Batch = field(default_factory=Batch)
    fed_bytes: int = 0

    def take(self) -> Batch:
        """Feed, conclude and choose; returns the batch to write, empty when there is nothing to do."""
        if not self.history.is_started:
            self._feed(_run_started(self.runtime_id, self.public_url))
        self._call_off_outside()
        while self.outcomes and self._has_room_for(self.outcomes[0].ByteSize()):
            outcome = self.outcomes.popleft()
            if self._is_news(outcome):
                self._feed(outcome)
        if not self.outcomes:
            # Only with every result fed is an attempt that is not here a lost one.
            self._answer_passive_steps()
            self._fail_lost_attempts()
            self._fire_due_timers()
        self._conclude()
        if not (self.batch.ends_the_run or self.left_over or self.outcomes or self.is_draining):
            self._begin_attempts()
        return self.batch

    def _is_news(self, outcome: event_pb2.Event) -> bool:
        """Tell whether an attempt's result is one by the log too: the first that ended the step has won.

        (1) This runtime stands still, or the store does not hear it, for longer than its lease; (2) another runs the
        step again and ends it; (3) this one takes that in before it knows that the lease is gone; (4) its own attempt
        ends. Proof: tests/worker/test_holding.py.
        """
        is_of_step = outcome.WhichOneof("attributes") in _ENDINGS
        return not is_of_step or outcome.correlation_id in self.instance.open_steps()

    def _has_room_for(self, size: int) -> bool:
        """Tell whether one write still holds ``size`` bytes of another fact; the first one always fits."""
        count = len(self.batch.fed)
        return not count or (count + 2 <= BATCH_EVENTS_MAX and self.fed_bytes + size <= BATCH_BYTES_MAX)

    def _feed(self, event: event_pb2.Event) -> None:
        if not event.HasField("occur_time"):
            event.occur_time.CopyFrom(stamp_of(self.now_ms))
        # Kept before it is delivered: a result must be written even when the replay stops at it.
        self.batch.fed.append(event)
        self.fed_bytes += event.ByteSize()
        self.instance.deliver(event)

    def _call_off_outside(self) -> None:
        """End the steps that run outside and that nobody awaits: before anything else is fed, so by the log alone."""
        for event in list(self.outside.called_off(self.instance.open_steps().values())):
            if self._has_room_for(event.ByteSize()):
                self._feed(event)

    def _answer_passive_steps(self) -> None:
        """End passive steps, as far as one write holds their results; each may call off the next."""
        for step_id, answer in self.answers.items():
            step = self.instance.open_steps().get(step_id)
            if step is None or not step.is_wanted:
                continue
            if not self._has_room_for(answer.ByteSize()):
                return
            self._feed(_step_started(step, self.runtime_id, self.now_ms))
            self._feed(answer)

    def _fail_lost_attempts(self) -> None:
        """An attempt that runs by the log but not here was lost with its process; its last one ends the step."""
        for step in list(self.instance.open_steps().values()):
            if self._is_lost(step) and self._was_last(step):
                self._feed(_attempt_lost(step))

    def _is_lost(self, step: OpenStep) -> bool:
        return step.is_running and step.step_id not in self.is_running and not self.outside.have(step)

    def _was_last(self, step: OpenStep) -> bool:
        return step.attempt >= step.definition.retry.max_attempts and step.step_id not in self.forgiven

    def _fire_due_timers(self) -> None:
        """Fire one due timer after the other; each may call off the next."""
        while self._has_room_for(0) and (due := self.instance.due_wait(self.now_ms)):
            self._feed(event_pb2.Event(correlation_id=due, wait_completed=event_pb2.WaitCompleted()))

    def _conclude(self) -> None:
        self.left_over.extend(self.instance.take_decisions())
        count = fitting(
            list(self.left_over),
            events=BATCH_EVENTS_MAX - len(self.batch.fed),
            bytes_left=BATCH_BYTES_MAX - self.fed_bytes,
            at_least=0 if self.batch.fed else 1,
        )
        self.batch.decisions.extend(self.left_over.popleft() for _ in range(count))
        self.batch.tasks.extend(self.outside.tasks(self.batch.decisions))

    def _begin_attempts(self) -> None:
        for step in self.instance.open_steps().values():
            if self.batch.count >= BATCH_EVENTS_MAX:
                return
            if not self._may_begin(step):
                continue
            if not self.take_slot():
                return
            self.batch.starts.append(Start(_step_started(step, self.runtime_id, self.now_ms), step))

    def _may_begin(self, step: OpenStep) -> bool:
        due = step.is_running or (step.retry_time_ms or 0) <= self.now_ms
        is_elsewhere = step.definition.is_passive or step.step_id in self.is_running or self.outside.have(step)
        return step.is_wanted and due and not is_elsewhere


def _run_started(runtime_id: str, public_url: str) -> event_pb2.Event:
    started = event_pb2.RunStarted(runtime_id=runtime_id, public_url=public_url)
    return event_pb2.Event(writer=runtime_id, run_started=started)


def _step_started(step: OpenStep, runtime_id: str, now_ms: int) -> event_pb2.Event:
    return event_pb2.Event(
        correlation_id=step.step_id,
        writer=runtime_id,
        occur_time=stamp_of(now_ms),
        step_started=event_pb2.StepStarted(attempt=step.attempt + 1, worker_id=runtime_id),
    )


def _attempt_lost(step: OpenStep) -> event_pb2.Event:
    failure = payload_pb2.Failure(
        type="holdfast.AttemptLost",
        message=f"attempt {step.attempt} of step {step.definition.name}, its last, ended with its process",
        non_retryable=True,
        category=payload_pb2.FAILURE_CATEGORY_INTERNAL,
    )
    return event_pb2.Event(
        correlation_id=step.step_id, step_failed=event_pb2.StepFailed(failure=failure, attempt=step.attempt)
    )
