"""How long it took: until somebody took over the runs of a dead runtime, until a dead store was routed around.

* **Takeover** is read from the logs. Every start of a step says which process wrote it; a branch of a ledger has a step
  under way most of the time, and whoever takes a run over starts it again. So the holder of a run at the death of a
  process is the writer of its newest start before, and the takeover is the first start after it by another one.
* **Routing** is asked: every runtime is asked all the time for something that only the store knows. After the death
  of a store each living runtime is measured, up to its answer to the first question after the death, whichever store it
  used.

A time is *alone* when nothing else happened to anybody until it had passed; both are told. Nothing here runs anything
but questions.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from holdfast.errors import HookNotFound
from holdfast.v1 import runtime_service_pb2, runtime_service_pb2_grpc
from holdfast.wire import from_rpc_error
from tests.crash.outcome import quantile
from tests.replicas.cluster import Cluster
from tests.replicas.replica import Disturbance, Replica
from tests.storms.store_calls import Event

#: Seconds between two questions, and for one: longer than any answer that is measured.
_PAUSE_SECONDS = 0.05
_ANSWER_SECONDS = 10.0

#: A dead store is routed around within this many seconds.
ROUTED_SECONDS = 2.0

#: Runs of a dead runtime are taken over within a lease and so many seconds.
TAKEN_OVER_SECONDS = 1.0

#: A run that was quiet for longer before the death was at rest, or nobody's.
_QUIET_SECONDS = 0.6


@dataclass(slots=True)
class Times:
    """Durations in seconds, of all and of those that nothing else disturbed; ``slow`` tells of the longest."""

    limit: float
    all: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    slow: list[tuple[float, str]] = field(default_factory=list)

    def add(self, seconds: float, whose: str, others: Sequence[str]) -> None:
        """Note a duration, and what else happened in its time."""
        self.all.append(seconds)
        if not others:
            self.alone.append(seconds)
        if seconds > self.limit:
            self.slow.append((seconds, f"{whose}, {'; '.join(others) or 'nothing else'}"))

    def lines(self, what: str) -> Iterator[str]:
        """Yield one line for all, one for those alone, and some for the longest beyond the limit."""
        for kind, values in (("", self.all), (", nothing else at the time", self.alone)):
            if values:
                times = sorted(values)
                shares = "  ".join(f"{name} {quantile(times, share):.2f} s" for name, share in _SHARES)
                over = sum(seconds > self.limit for seconds in times)
                late = f"{over} longer than {self.limit:g} s"
                yield f"{what + kind:60} {len(times):6}  {shares}  max {times[-1]:.2f} s, {late}"
        for seconds, whose in sorted(self.slow, reverse=True)[:_TOLD_MAX]:
            yield f"    {seconds:.2f} s: {whose}"


_SHARES = (("p50", 0.5), ("p99", 0.99))
_TOLD_MAX = 5


class Questions:
    """Asks every runtime all the time. Use it with ``async with``."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._answers: dict[Replica, list[tuple[float, float]]] = {it: [] for it in cluster.runtimes}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Questions:
        self._tasks = [asyncio.create_task(self._ask(it)) for it in self._cluster.runtimes]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, runtime: Replica) -> None:
        request = runtime_service_pb2.FindHookRequest(token="nobody has it")
        async with grpc.aio.insecure_channel(runtime.address) as channel:
            stub: Any = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
            while True:
                began = time.monotonic()
                try:
                    await stub.FindHook(request, timeout=_ANSWER_SECONDS)
                except grpc.RpcError as error:
                    if isinstance(from_rpc_error(error), HookNotFound):
                        self._answers[runtime].append((began, time.monotonic()))
                await asyncio.sleep(_PAUSE_SECONDS)

    def routing(self) -> Times:
        """Return how long dead stores kept living runtimes from answering."""
        times = Times(ROUTED_SECONDS)
        for store in self._cluster.stores:
            for death in _deaths(store):
                for runtime in self._cluster.runtimes:
                    self._measure(death, runtime, times)
        return times

    def _measure(self, death: Disturbance, runtime: Replica, times: Times) -> None:
        answers = self._answers[runtime]
        found = bisect_left(answers, (death.begin, 0.0))
        disturbed = runtime.next_disturbance(death.begin)
        end = answers[found][1] if found < len(answers) else float("inf")
        if not runtime.was_steady(death.begin, death.begin):
            return
        if end < disturbed:
            times.add(end - death.begin, runtime.name, _others(self._cluster, death, end))
        elif disturbed != float("inf") and disturbed - death.begin > ROUTED_SECONDS:
            times.add(disturbed - death.begin, runtime.name, _others(self._cluster, death, disturbed))


def takeovers(cluster: Cluster, logs: Mapping[str, Sequence[Event]], lease_seconds: float) -> Times:
    """Return how long runs of dead runtimes waited for another one."""
    times = Times(lease_seconds + TAKEN_OVER_SECONDS)
    starts = {run_id: _starts(log) for run_id, log in logs.items()}
    wall_ahead = time.time() - time.monotonic()
    for runtime in cluster.runtimes:
        for death in _deaths(runtime):
            for run_id, of_run in starts.items():
                seconds = _taken_over(of_run, death.begin + wall_ahead, f":{death.pid}:")
                if seconds is not None:
                    others = _others(cluster, death, death.begin + seconds)
                    times.add(seconds, f"{run_id} of {runtime.name}", others)
    return times


def _taken_over(starts: Sequence[tuple[float, str]], died_at: float, holder: str) -> float | None:
    at = bisect_left(starts, (died_at, ""))
    if not at or holder not in starts[at - 1][1] or died_at - starts[at - 1][0] > _QUIET_SECONDS:
        return None
    # What it had sent when it died may be committed a moment later.
    return next((when - died_at for when, writer in starts[at:] if holder not in writer), None)


def _starts(log: Sequence[Event]) -> list[tuple[float, str]]:
    found = [it for it in log if it.HasField("step_started") or it.HasField("run_started")]
    return [(it.create_time.ToMilliseconds() / 1000, it.writer) for it in found]


def _deaths(replica: Replica) -> list[Disturbance]:
    return [it for it in replica.disturbances if it.what == "killed"]


def _others(cluster: Cluster, death: Disturbance, end: float) -> list[str]:
    """Tell what else happened to anybody from a death to a moment, in seconds after the death."""
    return [
        f"{replica.name} {it.what} {it.begin - death.begin:.2f} to {it.end - death.begin:.2f}"
        for replica in cluster.replicas
        for it in replica.disturbances
        if it is not death and it.end >= death.begin and it.begin <= end
    ]
