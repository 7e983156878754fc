"""One soak from beginning to end: start everything, load and faults side by side, let it come to rest, judge.

Owns the order. At the end every run has to end, or the soak says what it waits for; then the services stop in good
order, and the database is audited once more, with the liveness of what is still open. Read ``load.py``, ``faults.py``,
``sampling.py`` and ``retention.py`` for what goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from store_service.engines import open_engine
from store_service.engines.contract import Reader
from tests.checkers.liveness import standing
from tests.checkers.log_audit import audit_database
from tests.soak.cluster import Cluster, running_cluster
from tests.soak.faults import Scene, strike
from tests.soak.load import Load
from tests.soak.outcome import Soak
from tests.soak.retention import Retention
from tests.soak.sampling import Sampler

#: Seconds that runs may take to end once nothing more happens: beyond every lease, pause and patience.
REST_SECONDS: Final = 90.0

_SAMPLES: Final = 720
_TOLD: Final = 60
_CAPACITY_SECONDS_MAX: Final = 20.0

#: What no service may say, whatever happens around it.
_UNFORESEEN: Final = ("Traceback", "run blocked", "internal error", "a call failed")


@dataclass(frozen=True, slots=True)
class Plan:
    """How to soak. ``per_second`` None: this ``share`` of the capacity that is measured first."""

    seconds: float
    per_second: float | None = None
    share: float = 0.5
    fault_seconds: float = 30.0
    sweep_seconds: float = 60.0
    is_shared: bool = False
    seed: int = 1


async def soak(folder: Path, url: str, plan: Plan) -> Soak:
    """Soak a store on an empty database; ``folder`` gets the logs of its processes."""
    async with running_cluster(folder, url) as cluster:
        load = Load(cluster.clients)
        capacity = None if plan.per_second else await load.capacity(min(_CAPACITY_SECONDS_MAX, plan.seconds / 10))
        per_second = plan.per_second or plan.share * (capacity or 0.0)
        found = Soak(plan.seconds, per_second, capacity, plan.is_shared)
        await _live(cluster, load, plan, found)
        found.late = await load.finish(REST_SECONDS)
        await cluster.stop()
    found.logged = _unforeseen(folder)
    await _judge_what_is_left(url, load, found)
    return found


async def _live(cluster: Cluster, load: Load, plan: Plan, found: Soak) -> None:
    sampler = Sampler(cluster, max(0.2, plan.seconds / _SAMPLES))
    retention = Retention(cluster, load)
    found.began = time.monotonic()
    until = found.began + plan.seconds
    scene = Scene(cluster, load, random.Random(plan.seed))
    telling = _tell_now_and_then(sampler, load, plan.seconds / _TOLD)
    async with _beside(sampler.run(), retention.run(plan.sweep_seconds), telling):
        _, found.faults = await asyncio.gather(
            load.run(until, found.per_second), strike(scene, until, plan.fault_seconds)
        )
    found.lives, found.longest, found.sizes = sampler.lives, list(sampler.longest()), sampler.sizes
    found.audits, found.deleted, found.findings = retention.audits, retention.deleted, retention.findings


async def _tell_now_and_then(sampler: Sampler, load: Load, every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        print(f"{load.started} runs, {len(load.open)} open, {len(load.wrong)} wrong; {sampler.now()}", flush=True)


@contextlib.asynccontextmanager
async def _beside(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let these run while the block does; one that fails makes the block fail."""
    tasks = [asyncio.create_task(it) for it in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


def _unforeseen(folder: Path) -> list[str]:
    return [
        f"{log.name}: {line}"
        for log in sorted(folder.glob("*.log"))
        for line in log.read_text().splitlines()
        if any(words in line for words in _UNFORESEEN)
    ]


async def _judge_what_is_left(url: str, load: Load, found: Soak) -> None:
    found.ended, found.wrong, found.started = load.ended, load.wrong, load.started + len(found.late)
    audit = await audit_database(url)
    found.audits += 1
    found.findings += audit.findings
    if not found.late:
        found.findings += [f"left in the queue: {it}" for it in audit.messages]
    engine = await open_engine(url)
    try:
        found.late = await engine.read(partial(_told, run_ids=found.late))
    finally:
        await engine.close()


def _told(reader: Reader, run_ids: list[str]) -> list[str]:
    """Say of each run that did not end what it waits for."""
    now_ms = int(time.time() * 1000)
    rows = {run_id: reader.run(run_id) for run_id in run_ids}
    told = {run_id: row and (standing(reader, row, now_ms) or "nothing will move it") for run_id, row in rows.items()}
    return [f"{run_id}: {found or 'it was never created'}" for run_id, found in told.items()]
