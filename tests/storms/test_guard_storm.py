"""The guard is exact on the real server: in a storm, no stale decision is accepted and no fresh one refused.

Sixteen clients write facts and decisions to a few runs of a store whose clock stands still, ticks, goes back and leaps.
What each was told is then judged against the log, which is its own witness (``tests/checkers/witness.py``). The store
is killed before its file is read: what was acknowledged must be there. The same storm with the comparison taken out,
or with the ``+ 1`` dropped from the clock rule, must be found out. Two storms blow side by side, so that a machine
with two cores is in use.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from holdfast.v1 import event_pb2, store_service_pb2, store_service_pb2_grpc
from store_service.engines import open_engine
from store_service.engines.contract import Reader
from store_service.rules import rebuild, stored
from tests.checkers.witness import Claim, Entry, Outcome, Witness, entry
from tests.storms import services
from tests.storms.faults import Clocked, WithoutComparison, WithoutRisingClock
from tests.storms.guard_clients import shares

OPERATIONS = int(os.environ.get("HOLDFAST_STORM_OPERATIONS", "200000"))
SMALL = 3_000
STORMS = 2

#: Few runs, so that clients meet; more when the storm is long, because a run holds at most 100,000 events.
RUNS_MIN = 8
OPERATIONS_A_RUN = 50_000

SEED = int(os.environ.get("HOLDFAST_STORM_SEED", "20240229"))


@dataclass(slots=True)
class Result:
    """What a storm left behind: how often each answer was given, and everything that the witness objects to."""

    answers: Counter[Outcome] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


async def open_runs(address: str, count: int) -> list[str]:
    """Create and start the runs of a storm, each with the hook that facts go to."""
    run_ids = [f"run_storm{number}" for number in range(count)]
    async with grpc.aio.insecure_channel(address) as channel:
        stub = store_service_pb2_grpc.StoreServiceStub(channel)
        for run_id in run_ids:
            events = [
                event_pb2.Event(run_created=event_pb2.RunCreated(workflow_name="storm")),
                event_pb2.Event(run_started=event_pb2.RunStarted()),
                event_pb2.Event(correlation_id="hook_#1", hook_created=event_pb2.HookCreated(token=run_id)),
            ]
            await stub.CreateEvents(store_service_pb2.CreateEventsRequest(run_id=run_id, events=events))
    return run_ids


async def run_clients(address: str, seed: int, operations: int, run_ids: list[str]) -> list[tuple[str, Claim]]:
    """Let the clients do their work in a process of their own, and return what they were told."""
    arguments = [address, str(seed), str(operations), *run_ids]
    command = [sys.executable, "-m", "tests.storms.guard_clients", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    told: list[tuple[str, Claim]] = pickle.loads(output)
    return told


async def storm(folder: Path, operations: int, fault: Callable[[int], services.Fault], seed: int = SEED) -> Result:
    """Run one storm and let the witness judge it."""
    print(f"storm of {operations} operations, seed {seed} (HOLDFAST_STORM_SEED)")
    name = f"store-{seed}"
    store = services.store(folder, name)
    try:
        await store.start(fault(seed))
        run_ids = await open_runs(store.address, max(RUNS_MIN, operations // OPERATIONS_A_RUN))
        told = await run_clients(store.address, seed, operations, run_ids)
    finally:
        await store.kill()
    by_run: dict[str, list[Claim]] = defaultdict(list)
    for run_id, claim in told:
        by_run[run_id].append(claim)
    engine = await open_engine(f"sqlite:///{folder / name}.db")
    try:
        return await engine.read(lambda reader: judge(reader, by_run))
    finally:
        await engine.close()


def judge(reader: Reader, by_run: dict[str, list[Claim]]) -> Result:
    result = Result()
    for run_id, claims in by_run.items():
        log = read_entries(reader, run_id)
        result.violations.extend(f"{run_id}: {it}" for it in Witness(log).violations(claims))
        result.answers.update(claim.outcome for claim in claims)
        accepted = sum(claim.outcome is Outcome.ACCEPTED for claim in claims)
        if len(log) != accepted + 3:
            result.violations.append(f"{run_id}: {len(log)} events, {accepted} were acknowledged after the first 3")
    return result


def read_entries(reader: Reader, run_id: str) -> list[Entry]:
    return [entry(event, stored.time_of(event)) for event in rebuild.read_log(reader, run_id, 1_000_000)]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_in_a_storm_no_stale_decision_is_accepted_and_no_fresh_one_refused(tmp_path: Path) -> None:
    numbered = enumerate(shares(OPERATIONS, STORMS))
    results = await asyncio.gather(*(storm(tmp_path, share, Clocked, SEED + number) for number, share in numbered))
    assert [violation for result in results for violation in result.violations] == []
    answers = sum((result.answers for result in results), Counter())
    print(dict(answers))
    assert answers.total() == OPERATIONS
    assert answers[Outcome.STALE] > OPERATIONS // 20
    assert answers[Outcome.ACCEPTED] > OPERATIONS // 4


async def test_without_the_comparison_the_witness_reports_stale_decisions(tmp_path: Path) -> None:
    violations = (await storm(tmp_path, SMALL, WithoutComparison)).violations
    assert any("stale accepted" in violation for violation in violations)


async def test_without_the_rising_clock_the_witness_reports_stale_decisions(tmp_path: Path) -> None:
    violations = (await storm(tmp_path, SMALL, WithoutRisingClock)).violations
    assert any("stale accepted" in violation for violation in violations)
