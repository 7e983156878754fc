"""A hundred thousand runs that sleep: what they cost two services that do nothing else, and how late they wake up.

The services start on a store full of sleepers, as after an update. Memory is held against the same services on an
empty store: what it grows by is what sleeping costs. Some of the sleepers are due while we look, fifty a second; their
lateness is the time of ``wait_completed`` in the log after the time that they asked for.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import grpc.aio

from benchmarks.figures import Figure, of_samples
from benchmarks.processes import Services, running_services
from benchmarks.scale import filling
from holdfast.v1 import event_pb2, store_service_pb2_grpc
from holdfast.v1 import store_service_pb2 as api
from store_service.engines import open_engine

#: Sleepers that wake up a second, and how many seconds after their filling the first of them does.
_DUE_A_SECOND: Final = 50
_FIRST_DUE_SECONDS: Final = 15.0
_SETTLE_SECONDS: Final = 3.0
_IDLE_SECONDS: Final = 5.0
_MONTH_MS: Final = 30 * 24 * 3_600_000
_PATIENCE_SECONDS: Final = 60


async def measure(
    database: str, empty_database: str, folder: Path, count: int, due: int, engine: str, haste: float = 1.0
) -> list[Figure]:
    """Fill a database with ``count`` sleepers, of which ``due`` wake up while they are watched.

    ``haste`` is by how much less than usual is waited for things to settle.
    """
    empty = await _resting(empty_database, folder / "empty", haste)
    first_due_ms = await _fill(database, count, due, haste)
    (folder / "full").mkdir()
    async with running_services(folder / "full", database=database) as services:
        await asyncio.sleep(_SETTLE_SECONDS / haste)
        full = services.rss()
        statements = await _statements_a_second(services, first_due_ms)
        late = await _lateness(services, due, first_due_ms)
        after = services.rss()
    named = f"{engine}, {count:,} sleeping runs"
    grown = sum(full) - sum(empty)
    return [
        Figure(f"{named}: memory of both services more than on an empty store", grown / 1e6, "MB", "8 MB", 8, 1.0),
        Figure(f"{named}: memory of both services, a run", max(0, grown) / count / 1000, "KB", "4 KB", 4, 1.0),
        Figure(f"{named}: the same after {due:,} woke up", (sum(after) - sum(empty)) / 1e6, "MB"),
        Figure(f"{named}: SQL statements a second, idle", statements, "/s", "2 a second", 2, 1.0),
        _late(f"{named}: lateness of {due:,} that were due, p99", late),
    ]


async def _resting(database: str, folder: Path, haste: float) -> tuple[int, int]:
    folder.mkdir()  # noqa: ASYNC240
    async with running_services(folder, database=database) as services:
        await asyncio.sleep(_SETTLE_SECONDS / haste)
        return services.rss()


async def _fill(database: str, count: int, due: int, haste: float) -> int:
    """Return when the first of the due ones is due; they are the first ``due`` runs."""
    engine = await open_engine(database)
    try:
        now_ms = time.time_ns() // 1_000_000
        await filling.fill_sleeping(engine, range(due, count), lambda number: now_ms + _MONTH_MS + number, now_ms)
        # Taken again: a hundred thousand take a minute.
        now_ms = time.time_ns() // 1_000_000
        first_due_ms = now_ms + round(_FIRST_DUE_SECONDS / haste * 1_000)
        await filling.fill_sleeping(engine, range(due), lambda number: _due_ms(first_due_ms, number), now_ms)
        if broken := await filling.broken_laws(engine, 20):
            raise RuntimeError(f"the filled runs break laws: {broken[:3]}")
        return first_due_ms
    finally:
        await engine.close()


def _due_ms(first_due_ms: int, number: int) -> int:
    return first_due_ms + number * 1_000 // _DUE_A_SECOND


async def _statements_a_second(services: Services, until_ms: int) -> float:
    """While nothing is due: the store alone has statements, so this is the total."""
    before, begin = await services.counted.counts(), time.perf_counter()
    await asyncio.sleep(min(_IDLE_SECONDS, max(0.5, until_ms / 1000 - time.time() - 1)))
    after = await services.counted.counts()
    return (after[0] - before[0]) / (time.perf_counter() - begin)


async def _lateness(services: Services, due: int, first_due_ms: int) -> list[float]:
    """Wait until every due run has ended, and return by how many ms each woke up late."""
    async with grpc.aio.insecure_channel(services.counted.address) as channel:
        stub = store_service_pb2_grpc.StoreServiceStub(channel)
        await asyncio.sleep(max(0.0, _due_ms(first_due_ms, due) / 1000 - time.time()))
        return [await _late_ms(stub, number, _due_ms(first_due_ms, number)) for number in range(due)]


async def _late_ms(stub: Any, number: int, due_ms: int) -> float:
    request = api.ListEventsRequest(
        run_id=filling.run_id_of(number), types=[event_pb2.EVENT_TYPE_WAIT_COMPLETED], page_size=1
    )
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not (found := (await stub.ListEvents(request)).events):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.1)
    return found[0].create_time.ToMilliseconds() - due_ms


def _late(name: str, late: list[float]) -> Figure:
    """The 99th percentile is what is held against the target."""
    spread = of_samples(name, late)
    assert spread.p99 is not None
    return Figure(name, spread.p99, "ms", "100 ms", 100, 1.0, p90=spread.p90, p99=spread.p99)
