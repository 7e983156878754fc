"""A tiny stand-in for the runtime: plays one run against an in-memory log, one event at a time.

It commits decisions, runs step functions, fires timers by a clock of its own and lets a script speak from outside.
Which of the facts that are ready comes next is drawn from a seed. It keeps the log and, for every take, what the live
instance decided at that position, so that a cold replay can be held against it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.definitions import WorkflowDefinition, definition_of
from holdfast.failures import from_failure, to_failure
from holdfast.serialization import decode_args, decode_result, encode_args, encode_result, encode_value
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.replay.instance import Instance
from runtime_service.replay.open_entities import OpenStep

STARTED_MS = 1_800_000_000_000
EVENT_ID = "evt_01HZZZZZZZZZZZZZZZZZZZZZZ0"


def definition(workflow: Any) -> WorkflowDefinition:
    found = definition_of(workflow)
    assert isinstance(found, WorkflowDefinition)
    return found


def json_payload(value: Any) -> payload_pb2.Payload:
    return encode_value(Any, value)


@dataclass
class Log:
    """Commits events as a store would: dense, typed, with a clock that the test moves."""

    run_id: str = "run_1"
    now_ms: int = STARTED_MS
    events: list[event_pb2.Event] = field(default_factory=list)

    def commit(
        self, event: event_pb2.Event, origin: event_pb2.EventOrigin.ValueType = event_pb2.EVENT_ORIGIN_EXTERNAL
    ) -> event_pb2.Event:
        committed = event_pb2.Event(origin=origin)
        committed.MergeFrom(event)
        committed.run_id = self.run_id
        committed.seq = len(self.events) + 1
        committed.event_id = EVENT_ID if not self.events else f"evt_{committed.seq}"
        committed.type = event_pb2.EventType.Value(f"EVENT_TYPE_{event.WhichOneof('attributes').upper()}")
        committed.create_time.FromMilliseconds(self.now_ms)
        self.events.append(committed)
        return committed


def event(kind: str, entity_id: str = "", **fields: Any) -> event_pb2.Event:
    """Build an event of a kind, for instance ``event("wait_completed", "wait_#1")``."""
    made = event_pb2.Event(correlation_id=entity_id)
    arm = getattr(made, kind)
    arm.SetInParent()
    arm.MergeFrom(type(arm)(**fields))
    return made


def run_created(workflow: Any, *args: Any, **kwargs: Any) -> event_pb2.Event:
    found = definition(workflow)
    return event("run_created", workflow_name=found.name, input=encode_args(found, args, kwargs))


class Rehearsal:
    """One run, live. ``say`` commits a fact; ``settle`` commits decisions; ``play`` runs it to its end."""

    def __init__(self, workflow: Any, *args: Any, run_id: str = "run_1", seed: int = 0, start: bool = True) -> None:
        self.workflow = definition(workflow)
        self.log = Log(run_id)
        self.instance = Instance(self.workflow, run_id)
        self.takes: list[tuple[int, list[event_pb2.Event]]] = []
        self.random = random.Random(seed)
        self._finished: deque[event_pb2.Event] = deque()
        self._running: set[str] = set()
        if start:
            self.say(run_created(workflow, *args))
            self.say(event("run_started"))

    def say(self, told: event_pb2.Event, *, after_ms: int = 1, is_decision: bool = False) -> event_pb2.Event:
        """Commit one event and deliver it."""
        self.log.now_ms += after_ms
        origin = event_pb2.EVENT_ORIGIN_REPLAY if is_decision else event_pb2.EVENT_ORIGIN_EXTERNAL
        committed = self.log.commit(told, origin)
        self.instance.deliver(committed)
        return committed

    def settle(self) -> list[event_pb2.Event]:
        """Take the decisions and commit them, until there are none; returns all of them."""
        everything: list[event_pb2.Event] = []
        while True:
            decisions = self.instance.take_decisions()
            self.takes.append((self.instance.position, decisions))
            for decision in decisions:
                self.say(decision, after_ms=0, is_decision=True)
            if not decisions:
                return everything
            everything += decisions

    def start_step(self, step: OpenStep) -> None:
        self.say(event("step_started", step.step_id, attempt=step.attempt + 1))
        self._running.add(step.step_id)

    def complete(self, step_id: str, value: Any = 0) -> None:
        """Let a step return, whatever its function does."""
        step = self.instance.open_steps()[step_id]
        if not step.is_running:
            self.start_step(step)
        self.say(event("step_completed", step_id, output=json_payload(value), attempt=1))

    def fail(self, step_id: str, error: BaseException, **fields: Any) -> None:
        step = self.instance.open_steps()[step_id]
        if not step.is_running:
            self.start_step(step)
        failure = to_failure(error)
        failure.MergeFrom(payload_pb2.Failure(**fields))
        self.say(event("step_failed", step_id, failure=failure, attempt=1))

    def fire(self, wait_id: str) -> None:
        self.log.now_ms = max(self.log.now_ms, self.instance.open_waits()[wait_id])
        self.say(event("wait_completed", wait_id), after_ms=0)

    def send(self, hook_id: str, value: Any) -> None:
        self.say(event("hook_received", hook_id, payload=json_payload(value)))

    def play(self, outside: Sequence[Callable[[Rehearsal], None]] = (), *, hurry: float = 1.0) -> Any:
        """Run to the end and return the result, or raise what the run failed with. ``outside`` speaks when it may.

        ``hurry`` is the chance that decisions are taken after an event; the fewer, the larger the batches.
        """
        script = deque(outside)
        for _ in range(10_000):
            if not self._finished or self.random.random() < hurry:
                self.settle()
            if self.instance.is_ended:
                self.settle()
                return self.result()
            self._begin_steps()
            if script and self.random.random() < 0.3:
                script.popleft()(self)
            elif self._finished:
                self._report_one()
            elif waits := self._recorded_waits():
                self.fire(min(waits, key=lambda wait_id: (waits[wait_id], wait_id)))
            elif script:
                script.popleft()(self)
            else:
                raise AssertionError(f"the run is stuck: {self.kinds()}")
        raise AssertionError("the run does not end")

    def result(self) -> Any:
        last = self.log.events[-1]
        if last.HasField("run_completed"):
            return decode_result(self.workflow, last.run_completed.output)
        if last.HasField("run_failed"):
            raise from_failure(last.run_failed.failure)
        return last.WhichOneof("attributes")

    def kinds(self) -> list[str]:
        return [f"{it.WhichOneof('attributes')} {it.correlation_id}".rstrip() for it in self.log.events]

    def _recorded_waits(self) -> dict[str, int]:
        recorded = {it.correlation_id for it in self.log.events}
        return {wait_id: due for wait_id, due in self.instance.open_waits().items() if wait_id in recorded}

    def _begin_steps(self) -> None:
        for step in list(self.instance.open_steps().values()):
            if step.is_wanted and step.is_recorded and not step.is_running:
                self.start_step(step)
                self._finished.append(_run_step(step))

    def _report_one(self) -> None:
        index = self.random.randrange(len(self._finished))
        fact = self._finished[index]
        del self._finished[index]
        if fact.correlation_id in self.instance.open_steps():
            self.say(fact, after_ms=self.random.randrange(1, 40))


def _run_step(step: OpenStep) -> event_pb2.Event:
    args, kwargs = decode_args(step.definition, step.input)
    try:
        value = step.definition.function(*args, **kwargs)
        if step.definition.is_async:
            value = _finish(value)
    except Exception as error:
        return event("step_failed", step.step_id, failure=to_failure(error), attempt=1)
    return event("step_completed", step.step_id, output=encode_result(step.definition, value), attempt=1)


def _finish(coro: Any) -> Any:
    """Run a coroutine that awaits nothing."""
    try:
        coro.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the step of a rehearsal must not wait")


def replayed(workflow: Any, events: Iterable[event_pb2.Event], run_id: str = "run_1") -> Instance:
    """Replay events from the start in a fresh instance."""
    instance = Instance(workflow if isinstance(workflow, WorkflowDefinition) else definition(workflow), run_id)
    log = list(events)
    instance.foresee(log)
    for it in log:
        instance.deliver(it)
    return instance


def decided(instance: Instance) -> bytes:
    """Return what an instance decides now, byte by byte."""
    return b"\n".join(it.SerializeToString(deterministic=True) for it in instance.take_decisions())


def check_replays(rehearsal: Rehearsal) -> None:
    """Hold cold replays of every prefix against what the live instance decided there."""
    log = rehearsal.log.events
    taken = {position: decisions for position, decisions in reversed(rehearsal.takes)}
    for length in range(1, len(log) + 1):
        cold = replayed(rehearsal.workflow, log[:length], rehearsal.log.run_id)
        decisions = decided(cold)
        assert decisions == decided(replayed(rehearsal.workflow, log[:length], rehearsal.log.run_id))
        if length in taken:
            live = b"\n".join(it.SerializeToString(deterministic=True) for it in taken[length])
            assert decisions == live, f"at {length}: {rehearsal.kinds()[:length]}"
        cold.evict()
