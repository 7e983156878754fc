"""A crash anywhere changes nothing: the runtime killed around every batch, the store killed around every commit.

The swept run uses every primitive (``workflows.everything``). Crash point 1, 2, 3, … each get a run of their own, once
with the kill right before and once right after, until the run ends before the point is reached: so no crash point is
left out, however many there are. After each: the result is that of an undisturbed run, the log keeps every law
(``tests/checkers/log_audit.py``), no message is left over, and nothing took longer than a lease and some seconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.checkers.log_audit import audit_file
from tests.storms import services
from tests.storms.faults import KilledAtAppend, KilledAtCommit, When
from tests.storms.store_calls import Event, StoreCalls, output
from tests.storms.workflows import EVERYTHING

#: Lanes work side by side, each with a store of its own; lane n takes every crash point n + LANES * i.
LANES = 2

#: A crashed run ends within its lease of a second and some seconds on a busy machine.
RECOVERY_SECONDS = 20.0

#: Fewer crash points than this would mean that the sweep did not reach what it is for.
APPENDS_MIN = 15
COMMITS_MIN = 20

Lane = Callable[[Path, When, int], Awaitable[int]]


async def sweep(folder: Path, lane: Lane) -> int:
    """Run all lanes to their end and return how many crash points there were before and after together."""
    plan = [(when, first) for when in ("before", "after") for first in range(1, LANES + 1)]
    return sum(await asyncio.gather(*(lane(folder, when, first) for when, first in plan)))


async def kill_runtimes(folder: Path, when: When, first: int, *, replay_always: bool) -> int:
    """Kill one runtime per crash point; a fresh one finishes. Returns how many were killed."""
    killed = 0
    name = f"{when}-{first}"
    async with services.store(folder, name) as store, StoreCalls(store.address) as calls:
        while True:
            count = first + killed * LANES
            runtime = services.runtime(folder, store.address, f"{name}-runtime", replay_always=replay_always)
            await runtime.start(KilledAtAppend(count, when))
            was_killed = await _survive(runtime, calls, f"run_{count}", f"runtime killed {when} append {count}")
            await runtime.stop()
            if not was_killed:
                break
            killed += 1
    await _audit(folder / f"{name}.db", killed + 1)
    return killed


async def kill_stores(folder: Path, when: When, first: int) -> int:
    """Kill the store once per crash point under one runtime that stays alive. Returns how often it was killed."""
    killed = 0
    name = f"{when}-{first}"
    async with (
        services.store(folder, name) as store,
        StoreCalls(store.address) as calls,
        services.runtime(folder, store.address, f"{name}-runtime"),
    ):
        while True:
            count = first + killed * LANES
            await store.kill()
            await store.start(KilledAtCommit(count, when))
            was_killed = await _survive(store, calls, f"run_{count}", f"store killed {when} commit {count}")
            if not was_killed:
                break
            killed += 1
    await _audit(folder / f"{name}.db", killed + 1)
    return killed


async def _survive(victim: services.Service, calls: StoreCalls, run_id: str, what: str) -> bool:
    """See one run to its end, and its queue empty, with one crash of ``victim``, which is started again.

    Returns whether the crash came.
    """
    run = asyncio.create_task(_one_run(calls, run_id))
    crash = asyncio.create_task(victim.died.wait())
    await asyncio.wait({run, crash}, return_when=asyncio.FIRST_COMPLETED)
    if was_killed := crash.done():
        await victim.start()
    crash.cancel()
    try:
        _check(await run, what)
    except Exception as error:
        raise AssertionError(f"{what}: {error!r}\n{victim.log[-4000:]}") from error
    return was_killed


async def _one_run(calls: StoreCalls, run_id: str) -> list[Event]:
    await calls.create_run(run_id, "storm.everything")
    log = await calls.ended(run_id, RECOVERY_SECONDS)
    await calls.emptied(run_id, RECOVERY_SECONDS)
    return log


def _check(log: list[Event], what: str) -> None:
    assert output(log) == EVERYTHING, what
    results = Counter(event.correlation_id for event in log if event.HasField("step_completed"))
    assert set(results.values()) == {1}, f"{what}: {results}"


async def _audit(path: Path, runs: int) -> None:
    audit = await audit_file(path)
    assert audit.findings == []
    assert audit.messages == []
    assert len(audit.logs) == runs


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("replay_always", [False, True], ids=["live", "replayed"])
async def test_a_runtime_killed_around_any_batch_changes_nothing(tmp_path: Path, replay_always: bool) -> None:
    killed = await sweep(tmp_path, partial(kill_runtimes, replay_always=replay_always))
    print(f"{killed} runtimes killed")
    assert killed >= 2 * APPENDS_MIN


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_store_killed_around_any_commit_changes_nothing(tmp_path: Path) -> None:
    killed = await sweep(tmp_path, kill_stores)
    print(f"{killed} stores killed")
    assert killed >= 2 * COMMITS_MIN
