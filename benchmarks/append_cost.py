"""`python -m benchmarks.append_cost`: what one durable step costs each process beside grpc, in µs of CPU.

No socket: the store's handler on a real SQLite file, and a run held by the real worker over a store that answers at
once. CPU time (`time.process_time`), so that a machine shared with others tells nearly the same as a quiet one; the
median of rounds. ``--profile store`` or ``--profile runtime`` shows the calls instead.
The figures of a change belong into docs/decisions/0007-what-one-append-costs.md.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import functools
import pstats
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from holdfast import step, workflow
from holdfast.definitions import Registry, WorkflowDefinition, definition_of
from holdfast.interceptors import Calls
from holdfast.v1 import event_pb2, payload_pb2, queue_service_pb2
from holdfast.v1 import store_service_pb2 as api
from runtime_service.store import Store
from runtime_service.worker.history import History
from runtime_service.worker.hold import Hold
from runtime_service.worker.options import WorkerOptions
from runtime_service.worker.worker import Worker
from store_service.api import events as events_api
from store_service.engines import open_engine
from store_service.engines.contract import Transaction
from store_service.engines.sqlite.commit import commit_together
from store_service.engines.sqlite.connection import Session, make_writer
from store_service.rules import clock, queue, views
from store_service.rules.append import Appended
from store_service.rules.kinds import type_of

ROUNDS: Final = 9
STEPS: Final = 200

Event = event_pb2.Event
Request = api.CreateEventsRequest

#: The store's clock in these rounds stands still, so that the times of events, one after the other from here, are known
#: before they are written and every request can be made beforehand.
NOW_MS: Final = 1_700_000_000_000


class Figures:
    """µs of CPU a step, by what was done, one figure a round."""

    def __init__(self) -> None:
        self.rounds: defaultdict[str, list[float]] = defaultdict(list)

    def measure(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a round of work. The clock is read twice a round and not twice a step: reading it is a system call."""
        began = time.process_time()
        value = work()
        self.rounds[name].append((time.process_time() - began) / STEPS * 1e6)
        return value

    def median(self, name: str) -> float:
        return statistics.median(self.rounds[name])


def show(title: str, lines: dict[str, float]) -> None:
    print(title)
    for name, figure in lines.items():
        print(f"  {name:<52}{figure:6.0f} µs")


# --- the store ----------------------------------------------------------------------------------------------------


def _created(step_id: str) -> Event:
    return Event(
        correlation_id=step_id,
        step_created=event_pb2.StepCreated(
            step_name="charge",
            input=payload_pb2.Payload(text='["order-1", 250]', metadata={"args": "positional"}),
            retry_policy=payload_pb2.RetryPolicy(max_attempts=3, backoff_coefficient=2.0),
            source="/srv/app/orders.py:31",
        ),
    )


def _step_started(step_id: str) -> Event:
    started = event_pb2.StepStarted(attempt=1, worker_id="rt-1")
    return Event(correlation_id=step_id, writer="rt-1", step_started=started, occur_time=clock.to_timestamp(NOW_MS))


def _step_completed(step_id: str) -> Event:
    output = payload_pb2.Payload(text='{"id":"r-1","cents":250}')
    completed = event_pb2.StepCompleted(attempt=1, output=output)
    return Event(correlation_id=step_id, step_completed=completed, occur_time=clock.to_timestamp(NOW_MS))


def opening(run_id: str) -> Request:
    """Return the create that begins a run and its first step: its last event is 4."""
    begin = [
        Event(run_created=event_pb2.RunCreated(workflow_name="orders", wake_queue="runs")),
        Event(run_started=event_pb2.RunStarted(runtime_id="rt-1")),
    ]
    return Request(run_id=run_id, events=[*begin, _created("step_charge#0"), _step_started("step_charge#0")])


def next_step(run_id: str, receipt: str, number: int) -> Request:
    """Return the create of one sequential step: the result of the last one, the next one and its start."""
    previous, step_id = f"step_charge#{number - 1}", f"step_charge#{number}"
    last_seq = 1 + 3 * number
    return Request(
        run_id=run_id,
        events=[_step_completed(previous), _created(step_id), _step_started(step_id)],
        state_updated_at=NOW_MS + last_seq - 1,
        state_seq=last_seq,
        held_receipts=[receipt],
    )


def _lease(tx: Transaction, run_id: str) -> str:
    message = queue_service_pb2.NewQueueMessage(queue="held", group=run_id)
    message_id, _ = queue.enqueue(tx, message, NOW_MS)
    leased = queue.claim_one(tx, message_id, 600_000, NOW_MS)
    assert leased is not None
    return leased.receipt


def _requests(session: Session, run_id: str) -> list[Request]:
    """Begin a run under a lease and return the requests of its steps."""
    _run_rule(session, [opening(run_id)])
    receipt = commit_together(session, [lambda tx: _lease(tx, run_id)])[0].value
    return [next_step(run_id, receipt, number) for number in range(1, STEPS + 1)]


def _check(requests: list[Request]) -> None:
    for request in requests:
        events_api.check_create(request, request.events, lambda index: f"events[{index}]")


def _unit(request: Request) -> Callable[[Transaction], Appended]:
    wanted = events_api.wanted_by(request, request.events)
    return lambda tx: events_api.append_and_show(tx, wanted, views.OMITTED, NOW_MS)


def _run_rule(session: Session, requests: list[Request]) -> None:
    for request in requests:
        outcome = commit_together(session, [_unit(request)])[0]
        if outcome.error is not None:
            raise outcome.error


def _run_in_one(session: Session, requests: list[Request]) -> None:
    for outcome in commit_together(session, [_unit(request) for request in requests]):
        if outcome.error is not None:
            raise outcome.error


def store_alone(path: Path, figures: Figures) -> None:
    """The parts of the handler in this thread, on the connection of the writer."""
    session = Session(sqlite3.connect(path, isolation_level=None, cached_statements=256))
    make_writer(session)
    for number in range(ROUNDS):
        requests = _requests(session, f"run_alone_{number}")
        figures.measure("checks", functools.partial(_check, requests))
        figures.measure("committed", functools.partial(_run_rule, session, requests))
        requests = _requests(session, f"run_together_{number}")
        figures.measure("rule", functools.partial(_run_in_one, session, requests))
    session._connection.close()


async def store_whole(url: str, figures: Figures) -> None:
    """The handler as a server calls it: through the interceptor and the threads of the engine."""
    engine = await open_engine(url)
    api_of_store: Any = events_api.EventsApi(SimpleNamespace(engine=engine, clock=lambda: NOW_MS))  # type: ignore[arg-type]
    call = Calls([lambda method: None])._unary("CreateEvents", api_of_store.CreateEvents)
    context = SimpleNamespace(invocation_metadata=lambda: ())
    for number in range(ROUNDS):
        run_id = f"run_whole_{number}"
        await call(opening(run_id), context)
        receipt = await engine.write(functools.partial(_lease, run_id=run_id))
        requests = [next_step(run_id, receipt, step_number) for step_number in range(1, STEPS + 1)]
        began = time.process_time()
        for request in requests:
            await call(request, context)
        figures.rounds["whole"].append((time.process_time() - began) / STEPS * 1e6)
    await engine.close()


async def measure_store(folder: Path) -> None:
    figures = Figures()
    await (await open_engine(f"sqlite:///{folder / 'alone.db'}")).close()
    store_alone(folder / "alone.db", figures)
    await store_whole(f"sqlite:///{folder / 'whole.db'}", figures)
    checks, rule, committed, whole = map(figures.median, ("checks", "rule", "committed", "whole"))
    lines = {
        "checks of fields and sizes": checks,
        "the append, its rows and its view": rule,
        "a commit of its own": committed - rule,
        "interceptor, engine, threads, answer": whole - committed - checks,
        "all": whole,
    }
    show("store, for a step of three events:", lines)


# --- the runtime --------------------------------------------------------------------------------------------------


@step
async def charge(order: str, cents: int) -> dict[str, object]:
    return {"id": "r-1", "cents": cents}


@workflow(name="orders")
async def orders(steps: int) -> int:
    for _ in range(steps):
        await charge("order-1", 250)
    return steps


class StandInStore(Store):
    """Answers an append at once, as a store with nobody else would; nothing is ever sent."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.head = 1

    async def append(self, request: Request) -> api.CreateEventsResponse:
        answer = api.CreateEventsResponse()
        for sent in request.events:
            self.head += 1
            event = answer.events.add(run_id=request.run_id, seq=self.head, correlation_id=sent.correlation_id)
            event.event_id = clock.mint_event_id(NOW_MS + self.head)
            event.type = type_of(sent)
            event.create_time.CopyFrom(clock.to_timestamp(NOW_MS))
        answer.interleaved.head_seq = self.head - len(request.events)
        return answer

    async def events_after(self, run_id: str, seq: int) -> list[Event]:
        return []

    async def acknowledge(self, receipt: str) -> None:
        """Nothing: the last append did."""


def _history(run_id: str) -> History:
    created = event_pb2.RunCreated(workflow_name="orders", input=payload_pb2.Payload(text=str(STEPS)))
    first = Event(
        run_id=run_id,
        seq=1,
        event_id=clock.mint_event_id(NOW_MS),
        type=event_pb2.EVENT_TYPE_RUN_CREATED,
        create_time=clock.to_timestamp(NOW_MS),
        run_created=created,
    )
    return History(run_id, [first])


async def _answer_all(store: StandInStore) -> None:
    for number in range(1, STEPS + 1):
        await store.append(next_step("run_0", "m.1", number))


def _make_requests() -> None:
    for number in range(1, STEPS + 1):
        next_step("run_0", "m.1", number)


async def measure_runtime() -> None:
    """Hold one run of many sequential steps after the other."""
    figures = Figures()
    registry = Registry()
    definition = definition_of(orders)
    assert isinstance(definition, WorkflowDefinition)
    registry.add(definition)
    for number in range(ROUNDS):
        history = _history(f"run_{number}")
        worker = Worker(StandInStore(), registry, WorkerOptions(runtime_id="rt-1"))
        hold = Hold(worker, queue_service_pb2.LeasedMessage(receipt="m.1"), history, is_current=True)
        began = time.process_time()
        await hold.run()
        figures.rounds["run"].append((time.process_time() - began) / STEPS * 1e6)
        assert history.is_ended, "the run of this benchmark did not come to its end"
        store = StandInStore()
        began = time.process_time()
        await _answer_all(store)
        figures.rounds["answer"].append((time.process_time() - began) / STEPS * 1e6)
        figures.measure("request", _make_requests)
    stand_in = figures.median("answer") - figures.median("request")
    lines = {"the stand-in for the store, taken off": stand_in, "all": figures.median("run") - stand_in}
    show("runtime, for a step of three events:", lines)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=("store", "runtime"))
    wanted = parser.parse_args().profile
    profile = cProfile.Profile()
    if wanted:
        profile.enable()
    if wanted != "runtime":
        with tempfile.TemporaryDirectory() as folder:
            await measure_store(Path(folder))
    if wanted != "store":
        await measure_runtime()
    if wanted:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    asyncio.run(main())
