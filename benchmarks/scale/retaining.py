"""Deleting very many ended runs, as `retention.py` of docs/operations.md does, while others append.

Appends come at a steady pace, first alone and then beside the deletion; a stall of the store is the lateness of an
append. The pace is kept whatever an append takes, and its time runs from when it was to be sent: an append that waits
for the one before it is late as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import grpc.aio

from benchmarks.figures import Figure, of_samples
from benchmarks.scale import filling
from holdfast.v1 import entity_pb2, event_pb2, store_service_pb2_grpc
from holdfast.v1 import store_service_pb2 as api

_APPENDS_A_SECOND: Final = 100
_ALONE_SECONDS: Final = 5.0
_RUNS_A_BATCH: Final = 200
_PAUSE_SECONDS: Final = 0.1

#: What an append may take beside a deletion at p99: nobody who looks at a screen calls it a stall.
TARGET_MS: Final = 50.0

_ENDED: Final = (
    entity_pb2.RUN_STATUS_COMPLETED,
    entity_pb2.RUN_STATUS_FAILED,
    entity_pb2.RUN_STATUS_CANCELLED,
)


async def measure(address: str, engine: str, seconds: float = _ALONE_SECONDS) -> list[Figure]:
    """Measure a store that holds filled runs; all of them are deleted."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = store_service_pb2_grpc.StoreServiceStub(channel)
        end = time.perf_counter() + seconds
        alone = await _append_steadily(stub, "alone", lambda: time.perf_counter() > end)
        begin = time.perf_counter()
        deleting = asyncio.create_task(_delete_all(stub))
        beside = await _append_steadily(stub, "beside", deleting.done)
        deleted = await deleting
    taken = time.perf_counter() - begin
    named = f"{engine}, append"
    return [
        of_samples(f"{named}, nothing is deleted", alone),
        _late(f"{named} while {deleted:,} runs are deleted, p99", beside),
        Figure(f"{named} while {deleted:,} runs are deleted, slowest", max(beside), "ms"),
        Figure(f"{engine}, runs deleted, with a pause of 0.1 s after 200", deleted / taken, "/s", is_more_better=True),
    ]


async def _append_steadily(stub: Any, name: str, is_over: Callable[[], bool]) -> list[float]:
    """Append a step's events to a run at a steady pace until it is over; returns ms from when each was due."""
    run_id = f"run_{name}_{time.time_ns()}"
    await stub.CreateEvents(_opening(run_id))
    taken, begin, number = [], time.perf_counter(), 0
    while not is_over() or number < 20:
        due = begin + number / _APPENDS_A_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await stub.CreateEvents(_step(run_id, number))
        taken.append((time.perf_counter() - due) * 1000)
        number += 1
    await stub.CreateEvent(api.CreateEventRequest(run_id=run_id, event=event_pb2.Event(run_cancelled={})))
    return taken


def _opening(run_id: str) -> api.CreateEventsRequest:
    created = event_pb2.RunCreated(workflow_name=filling.workflow_of(0))
    events = [event_pb2.Event(run_created=created), event_pb2.Event(run_started={"runtime_id": "rt-1"})]
    return api.CreateEventsRequest(run_id=run_id, events=events)


def _step(run_id: str, number: int) -> api.CreateEventsRequest:
    step_id = f"charge#{number}"
    events = [
        event_pb2.Event(correlation_id=step_id, step_created={"step_name": "charge"}),
        event_pb2.Event(correlation_id=step_id, step_started={"attempt": 1}),
        event_pb2.Event(correlation_id=step_id, step_completed={"attempt": 1, "output": {"text": '{"paid":true}'}}),
    ]
    return api.CreateEventsRequest(run_id=run_id, events=events)


async def _delete_all(stub: Any) -> int:
    """Delete what was filled, page by page. The runs that are appended to are younger."""
    until_ms = time.time_ns() // 1_000_000 - 24 * 3_600_000
    request = api.ListRunsRequest(page_size=_RUNS_A_BATCH, statuses=_ENDED)
    request.create_time_until.FromMilliseconds(until_ms)
    deleted = 0
    while runs := (await stub.ListRuns(request)).runs:
        answer = await stub.DeleteRuns(api.DeleteRunsRequest(run_ids=[run.run_id for run in runs]))
        deleted += answer.deleted_count
        await asyncio.sleep(_PAUSE_SECONDS)
    return deleted


def _late(name: str, samples: list[float]) -> Figure:
    spread = of_samples(name, samples)
    assert spread.p99 is not None
    return Figure(name, spread.p99, "ms", "50 ms", TARGET_MS, 1.0, p90=spread.p90, p99=spread.p99)
