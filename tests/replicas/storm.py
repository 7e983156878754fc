"""The storm over replicas: ledger runs go on while their processes are killed, frozen and cut off.

Owns the experiment and its verdict. Runs start at a steady pace as long as the storm blows, at most so many at once;
then everybody is revived, and every run has to end, with a ledger that agrees with its log and with what senders of
values were told. At the end the database is audited, liveness included. Measuring is ``measures.py``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from holdfast.durations import duration_ms
from holdfast.v1 import runtime_service_pb2, runtime_service_pb2_grpc
from tests.checkers.log_audit import audit_database
from tests.replicas.cluster import Cluster, cluster
from tests.replicas.disasters import Disasters
from tests.replicas.measures import Questions, Times, takeovers
from tests.replicas.replica import Replica
from tests.storms.senders import Senders, Told
from tests.storms.store_calls import Event
from tests.storms.test_ledger_storm import ROUND_SECONDS, ROUNDS, balance

BRANCHES = 4
START_SECONDS = 0.5
OPEN_RUNS_MAX = 16

#: A run that has not ended so long after the storm is stuck.
STUCK_SECONDS = 60.0

_INFO_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long it blows: until so many kills, or so many seconds. ``pause`` lies between two disasters.

    ``disturb`` is what happens instead of disasters to replicas, and for how long. ``replicas`` are those of each tier.
    """

    kills: int
    seconds: float
    seed: int
    lease: str = "1s"
    pause: tuple[float, float] = (0.2, 0.6)
    replicas: int = 3
    disturb: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out. ``failures`` empty: nothing lost, doubled or stuck."""

    counts: Counter[str]
    kills: int
    runs: int
    stuck: int
    values: int
    failures: list[str]
    takeovers: Times
    routing: Times
    refusals: Counter[str]
    seconds: float

    def lines(self) -> Iterator[str]:
        """Yield the report."""
        yield from self.failures
        yield ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        yield from self.takeovers.lines("takeover after the death of a runtime")
        yield from self.routing.lines("answers after the death of a store")
        yield "refused: " + (", ".join(f"{count} {cause}" for cause, count in self.refusals.most_common()) or "nothing")
        wrong = len(self.failures) or "nothing"
        yield (
            f"{self.kills} kills, {self.runs} runs, {self.values} values, {self.stuck} stuck, {wrong} wrong, "
            f"{self.seconds:.0f} s"
        )


class _Storm:
    def __init__(self, plan: Plan, all_of_it: Cluster, rng: random.Random) -> None:
        self.refusals: Counter[str] = Counter()
        self._plan = plan
        self._cluster = all_of_it
        self._rng = rng
        lease_seconds = duration_ms(plan.lease, "lease") / 1000
        self.disasters = Disasters(all_of_it, rng, lease_seconds, self.remember_refusals)
        self.runs: dict[str, asyncio.Task[list[Event]]] = {}
        self._is_over = asyncio.Event()

    async def blow(self) -> None:
        """Start runs and let disasters happen until the plan is fulfilled; then revive everybody."""
        until = time.monotonic() + self._plan.seconds
        starting = asyncio.create_task(self._start_runs())
        try:
            if self._plan.disturb is not None:
                await self._plan.disturb()
            while self.disasters.kills < self._plan.kills and time.monotonic() < until:
                await asyncio.sleep(self._rng.uniform(*self._plan.pause))
                await self.disasters.strike()
                if starting.done():
                    starting.result()
        finally:
            self._is_over.set()
        await starting
        await self.disasters.settle()

    async def ends(self) -> tuple[dict[str, list[Event]], list[str]]:
        """Wait for the runs; returns the logs of those that ended, and the ids of those that did not."""
        await asyncio.wait(self.runs.values(), timeout=STUCK_SECONDS)
        stuck = [run_id for run_id, task in self.runs.items() if not task.done()]
        for run_id in stuck:
            self.runs[run_id].cancel()
        return {run_id: task.result() for run_id, task in self.runs.items() if run_id not in stuck}, stuck

    async def remember_refusals(self, runtime: Replica) -> None:
        """Add up what a runtime counted until now; it forgets it when it dies."""
        async with grpc.aio.insecure_channel(runtime.address) as channel:
            stub: Any = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
            with suppress(grpc.RpcError):
                asked = runtime_service_pb2.GetRuntimeInfoRequest()
                self.refusals.update((await stub.GetRuntimeInfo(asked, timeout=_INFO_SECONDS)).refusals)

    async def _start_runs(self) -> None:
        calls = self._cluster.calls
        while not self._is_over.is_set():
            if sum(not task.done() for task in self.runs.values()) < OPEN_RUNS_MAX:
                run_id = f"run_{len(self.runs)}"
                await calls.create_run(run_id, "storm.ledger", BRANCHES, ROUNDS, ROUND_SECONDS)
                self.runs[run_id] = asyncio.create_task(calls.ended(run_id, self._plan.seconds + 2 * STUCK_SECONDS))
            await asyncio.sleep(START_SECONDS)


async def storm(folder: Path, database: str, plan: Plan, audited: str = "") -> Verdict:
    """Let it blow over fresh replicas on an empty database; ``audited`` is its URL at the end, if that is another."""
    began = time.monotonic()
    rng = random.Random(plan.seed)
    async with cluster(folder, database, plan.lease, rng, plan.replicas) as all_of_it:
        blowing = _Storm(plan, all_of_it, rng)
        senders = Senders(all_of_it.calls, _every_order(all_of_it.runtimes), rng, ROUND_SECONDS)
        sending = asyncio.create_task(senders.run())
        async with Questions(all_of_it) as questions:
            await blowing.blow()
            logs, stuck = await blowing.ends()
        sending.cancel()
        stopped = await asyncio.gather(sending, return_exceptions=True)
        failures = [f"the senders failed: {it!r}" for it in stopped if not isinstance(it, asyncio.CancelledError)]
        await senders.finish()
        for runtime in all_of_it.runtimes:
            await blowing.remember_refusals(runtime)
        failures += [f"{run_id}: stuck" for run_id in stuck] + await _judged(all_of_it, logs, senders.told)
    failures += await _audited(audited or database, len(blowing.runs))
    return Verdict(
        counts=blowing.disasters.counts,
        kills=blowing.disasters.kills,
        runs=len(blowing.runs),
        stuck=len(stuck),
        values=sum(map(len, senders.told.accepted.values())),
        failures=failures,
        takeovers=takeovers(all_of_it, logs, duration_ms(plan.lease, "lease") / 1000),
        routing=questions.routing(),
        refusals=blowing.refusals,
        seconds=time.monotonic() - began,
    )


def _every_order(runtimes: Sequence[Replica]) -> list[str]:
    """Lists of all addresses, each beginning with another one."""
    addresses = [runtime.address for runtime in runtimes]
    return [",".join(addresses[first:] + addresses[:first]) for first in range(len(addresses))]


async def _judged(all_of_it: Cluster, logs: dict[str, list[Event]], told: Told) -> list[str]:
    failures = []
    for run_id, log in logs.items():
        ends = Counter(event.correlation_id for event in log if event.HasField("step_completed"))
        failures += [f"{run_id}: {step_id} has {count} results" for step_id, count in ends.items() if count > 1]
        if log[-1].HasField("run_completed"):
            failures += balance(run_id, log, told)
        else:
            failures.append(f"{run_id}: it ended with {log[-1]}")
        try:
            await all_of_it.calls.emptied(run_id, STUCK_SECONDS)
        except TimeoutError:
            failures.append(f"{run_id}: its messages stay in the queue")
    await all_of_it.stop()
    lines = [line for it in all_of_it.runtimes for line in it.log.splitlines() if "run blocked" in line]
    return failures + [f"a run was set aside: {line}" for line in lines]


async def _audited(database: str, runs: int) -> list[str]:
    audit = await audit_database(database)
    missing = (
        [f"the database holds {len(audit.logs)} runs, {runs} were acknowledged"] if len(audit.logs) != runs else []
    )
    return [*audit.findings, *(f"left in the queue: {it}" for it in audit.messages), *missing]
