"""What tests of the rules write with: short builders of events, and a `Book` that appends to a real engine.

`Book.append` runs the real append rule inside a real transaction and commits; `Book.refused` expects a refusal, and
checks on the way that the database is what it was before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from holdfast.refusal import Refusal
from holdfast.v1 import event_pb2, payload_pb2, queue_service_pb2
from store_service.engines.contract import Engine, EntityKind, EntityQuery, Reader, RunQuery, Transaction
from store_service.rules import clock
from store_service.rules.append import Append, Appended, append

T = TypeVar("T")
Event = event_pb2.Event
NOW = 1_700_000_000_000


def text(value: str) -> payload_pb2.Payload:
    return payload_pb2.Payload(text=value)


def run_created(**fields: Any) -> Event:
    return Event(run_created=event_pb2.RunCreated(**{"workflow_name": "orders.fulfil", **fields}))


def run_started() -> Event:
    return Event(run_started=event_pb2.RunStarted(runtime_id="rt"))


def run_completed(output: str = "1") -> Event:
    return Event(run_completed=event_pb2.RunCompleted(output=text(output)))


def run_failed(message: str = "boom") -> Event:
    return Event(run_failed=event_pb2.RunFailed(failure=payload_pb2.Failure(type="ValueError", message=message)))


def run_cancelled() -> Event:
    return Event(run_cancelled=event_pb2.RunCancelled(reason="because"))


def cancel_requested() -> Event:
    return Event(run_cancel_requested=event_pb2.RunCancelRequested(reason="because"))


def step_created(step_id: str = "step_a#1", **fields: Any) -> Event:
    given = {"step_name": "charge", "input": text("[1]"), **fields}
    return Event(correlation_id=step_id, step_created=event_pb2.StepCreated(**given))


def step_started(step_id: str = "step_a#1", attempt: int = 0) -> Event:
    return Event(correlation_id=step_id, step_started=event_pb2.StepStarted(attempt=attempt, worker_id="w"))


def step_completed(step_id: str = "step_a#1", attempt: int = 0, output: str = "2") -> Event:
    return Event(correlation_id=step_id, step_completed=event_pb2.StepCompleted(attempt=attempt, output=text(output)))


def step_failed(step_id: str = "step_a#1", attempt: int = 0) -> Event:
    failure = payload_pb2.Failure(type="ValueError", message="no", details=text("[]"))
    return Event(correlation_id=step_id, step_failed=event_pb2.StepFailed(attempt=attempt, failure=failure))


def step_retrying(step_id: str = "step_a#1", retry_ms: int = NOW, attempt: int = 0) -> Event:
    failure = payload_pb2.Failure(type="ValueError", message="again", details=text("[3]"))
    retrying = event_pb2.StepRetrying(attempt=attempt, failure=failure, retry_time=clock.to_timestamp(retry_ms))
    return Event(correlation_id=step_id, step_retrying=retrying)


def hook_created(hook_id: str = "hook_#1", token: str = "tok", **fields: Any) -> Event:
    return Event(correlation_id=hook_id, hook_created=event_pb2.HookCreated(token=token, **fields))


def hook_received(hook_id: str = "hook_#1", payload: str = "true") -> Event:
    return Event(correlation_id=hook_id, hook_received=event_pb2.HookReceived(payload=text(payload)))


def hook_disposed(hook_id: str = "hook_#1") -> Event:
    return Event(correlation_id=hook_id, hook_disposed=event_pb2.HookDisposed())


def wait_created(wait_id: str = "wait_#1", resume_ms: int = NOW + 1000) -> Event:
    created = event_pb2.WaitCreated(resume_time=clock.to_timestamp(resume_ms))
    return Event(correlation_id=wait_id, wait_created=created)


def wait_completed(wait_id: str = "wait_#1") -> Event:
    return Event(correlation_id=wait_id, wait_completed=event_pb2.WaitCompleted())


def attributes_set(**labels: str) -> Event:
    return Event(attributes_set=event_pb2.AttributesSet(set=labels))


def patch_applied(name: str, call_id: str = "patch_#1") -> Event:
    return Event(patch_applied=event_pb2.PatchApplied(name=name, call_id=call_id))


def message(key: str = "", queue: str = "mail", **fields: Any) -> queue_service_pb2.NewQueueMessage:
    return queue_service_pb2.NewQueueMessage(queue=queue, idempotency_key=key, payload=text("1"), **fields)


@dataclass(slots=True)
class Book:
    """The append rule on a real engine, with a clock that the test moves."""

    engine: Engine
    now_ms: int = NOW

    async def write(self, unit: Callable[[Transaction], T]) -> T:
        return await self.engine.write(unit)

    async def read(self, query: Callable[[Reader], T]) -> T:
        return await self.engine.read(query)

    async def append(self, run_id: str, *events: Event, **fields: Any) -> Appended:
        request = Append(run_id=run_id, events=events, **fields)
        return await self.engine.write(lambda tx: append(tx, request, self.now_ms))

    async def start(self, run_id: str = "run_1", **fields: Any) -> Appended:
        """Create and start a run: events 1 and 2."""
        return await self.append(run_id, run_created(**fields), run_started())

    async def refused(self, reason: str, run_id: str, *events: Event, **fields: Any) -> Refusal:
        """Append what must be refused for ``reason``, and see that it left no trace."""
        before = await self.read(everything)
        with pytest.raises(Refusal) as caught:
            await self.append(run_id, *events, **fields)
        assert caught.value.reason == reason, caught.value.message
        assert await self.read(everything) == before
        return caught.value

    async def head_at(self, run_id: str) -> int:
        row = await self.read(lambda reader: reader.run(run_id))
        assert row is not None
        return row.head_at


def everything(reader: Reader) -> list[object]:
    """Return every row of runs, events, entities, requests known to tests, and queue counts."""
    runs = reader.runs(RunQuery(limit=1000))
    kinds = [reader.entities(EntityQuery(kind=kind, limit=1000)) for kind in EntityKind]
    queues = [reader.queue_counts(name, NOW) for name in reader.queue_names(after="", limit=100)]
    return [runs, kinds, queues, reader.all_events(after_position=0, limit=10_000), reader.request("req-1")]
