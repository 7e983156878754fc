"""Nothing is lost and nothing counted twice when hooks race sleeps and steps, and processes freeze and die.

Runs of eight branches race a hook against a sleep or a step, six rounds each. Two runtimes are alive. In one storm a
runtime is frozen now and then for longer than its lease, so that its runs move on and it wakes up as a stranger; in the
other, runtimes and the store are killed. Extra wake-ups make deliveries that nobody needed. The workflow returns what
each branch took. Against that stand the answers that senders got: an accepted value is in the log once and, in log
order, in the ledger or after its end; a refused one is nowhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from holdfast.v1 import runtime_service_pb2, runtime_service_pb2_grpc
from tests.checkers.log_audit import audit_file
from tests.storms import services
from tests.storms.senders import Senders, Told, branch_of
from tests.storms.store_calls import Event, StoreCalls, output
from tests.storms.workflows import Account, token_of

RUNS = int(os.environ.get("HOLDFAST_LEDGER_RUNS", "60"))
SEED = int(os.environ.get("HOLDFAST_STORM_SEED", "20240229"))
BRANCHES = 8
ROUNDS = 6
ROUND_SECONDS = 0.15

#: Between two starts of a run, two extra wake-ups, two disasters; how long a freeze lasts: beyond the lease of 1 s.
START_SECONDS = 0.5
WAKE_SECONDS = 0.1
DISASTER_SECONDS = (0.4, 1.0)
FROZEN_SECONDS = (1.2, 1.8)

#: A run lives for two seconds alone, longer when its runtimes freeze in turn.
RUN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Weather:
    """What makes it a storm."""

    calls: StoreCalls
    store: services.Service
    runtimes: list[services.Service]
    rng: random.Random
    run_ids: list[str]

    async def freeze(self) -> None:
        """Freeze one runtime after the other, at random."""
        while True:
            await asyncio.sleep(self.rng.uniform(*DISASTER_SECONDS))
            runtime = self.rng.choice(self.runtimes)
            runtime.freeze()
            try:
                await asyncio.sleep(self.rng.uniform(*FROZEN_SECONDS))
            finally:
                runtime.thaw()

    async def kill(self) -> None:
        """Kill a runtime or the store, or stop it in good order, at random; then start it again."""
        while True:
            await asyncio.sleep(self.rng.uniform(*DISASTER_SECONDS))
            victim = self.rng.choice([*self.runtimes, self.store])
            await self.rng.choice((victim.kill, victim.kill, victim.stop))()
            await victim.start()

    async def duplicate(self) -> None:
        """Send wake-ups that nobody needs."""
        for number in range(1_000_000):
            await asyncio.sleep(WAKE_SECONDS)
            if self.run_ids:
                run_id = self.rng.choice(self.run_ids[-8:])
                await self.calls.wake(run_id, f"extra:{run_id}:{number}")


async def _storm(weather: Weather, disasters: Coroutine[Any, Any, None]) -> tuple[dict[str, list[Event]], Told]:
    calls, rng, run_ids = weather.calls, weather.rng, weather.run_ids
    senders = Senders(calls, [runtime.address for runtime in weather.runtimes], rng, ROUND_SECONDS)
    moving = [asyncio.create_task(it) for it in (senders.run(), disasters, weather.duplicate())]
    ends: list[asyncio.Task[list[Event]]] = []
    for number in range(RUNS):
        run_ids.append(f"run_{number}")
        await calls.create_run(run_ids[-1], "storm.ledger", BRANCHES, ROUNDS, ROUND_SECONDS)
        ends.append(asyncio.create_task(calls.ended(run_ids[-1], RUN_SECONDS)))
        await asyncio.sleep(START_SECONDS)
    logs = await asyncio.gather(*ends)
    for task in moving:
        task.cancel()
    stopped = await asyncio.gather(*moving, return_exceptions=True)
    assert all(isinstance(it, asyncio.CancelledError) for it in stopped), stopped
    await _revive(weather)
    await senders.finish()
    for run_id in run_ids:
        await calls.emptied(run_id, RUN_SECONDS)
    return dict(zip(run_ids, logs, strict=True)), senders.told


async def _revive(weather: Weather) -> None:
    """Start again what was dead when the storm ended."""
    for service in (weather.store, *weather.runtimes):
        if service.died.is_set():
            await service.start()


@asynccontextmanager
async def _weather(folder: Path) -> AsyncIterator[Weather]:
    print(f"{RUNS} runs, seed {SEED} (HOLDFAST_LEDGER_RUNS, HOLDFAST_STORM_SEED)")
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(services.store(folder))
        calls = await stack.enter_async_context(StoreCalls(store.address))
        runtimes = [services.runtime(folder, store.address, f"runtime{number}") for number in range(2)]
        for runtime in runtimes:
            await stack.enter_async_context(runtime)
        yield Weather(calls, store, runtimes, random.Random(SEED), [])


async def _check(weather: Weather, folder: Path, logs: dict[str, list[Event]], told: Told) -> None:
    for service in (*weather.runtimes, weather.store):
        assert not service.died.is_set()
        await service.stop()
    for runtime in weather.runtimes:
        assert "run blocked" not in runtime.log, runtime.log[-4000:]
    findings = [finding for run_id, log in logs.items() for finding in balance(run_id, log, told)]
    assert not findings, "\n".join(findings)
    audit = await audit_file(folder / "store.db")
    assert audit.findings == []
    assert audit.messages == []
    _require_both_outcomes(logs, told)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_value_is_lost_or_counted_twice_in_a_storm_of_races(tmp_path: Path) -> None:
    async with _weather(tmp_path) as weather:
        logs, told = await _storm(weather, weather.freeze())
        refusals = sum([await _stale_refusals(runtime.address) for runtime in weather.runtimes])
        await _check(weather, tmp_path, logs, told)
        lost = sum(runtime.log.count("lease lost") for runtime in weather.runtimes)
        print(f"{refusals} decisions refused as stale, {lost} leases lost")
        assert refusals > 0
        assert lost > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_value_is_lost_or_counted_twice_when_runtimes_and_the_store_are_killed(tmp_path: Path) -> None:
    async with _weather(tmp_path) as weather:
        logs, told = await _storm(weather, weather.kill())
        await _check(weather, tmp_path, logs, told)


async def _stale_refusals(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
        info = await stub.GetRuntimeInfo(runtime_service_pb2.GetRuntimeInfoRequest())
    return int(info.refusals["OUT_OF_BAND_EVENT"])


def balance(run_id: str, log: list[Event], told: Told) -> Iterator[str]:
    """Yield every way in which a run's ledger, its log and what senders were told do not agree."""
    for branch, account in enumerate(output(log)):
        yield from _balance_branch(log, branch, token_of(run_id, branch), account, told)


def _balance_branch(log: list[Event], branch: int, token: str, account: Account, told: Told) -> Iterator[str]:
    hook_id = next(it.correlation_id for it in log if it.HasField("hook_created") and it.hook_created.token == token)
    received = [(it.seq, value_of(it)) for it in log if it.HasField("hook_received") and it.correlation_id == hook_id]
    values = [value for _, value in received]
    if sorted(values) != sorted(told.accepted.get(token, [])):
        yield f"{token}: the log has {sorted(values)}, accepted were {sorted(told.accepted.get(token, []))}"
    if both := set(values) & set(told.refused.get(token, [])):
        yield f"{token}: refused, and in the log: {both}"
    if account["taken"] != values[: len(account["taken"])]:
        yield f"{token}: took {account['taken']}, the log has {values}"
    fired = [it.seq for it in log if it.HasField("wait_completed") and branch_of(it.correlation_id) == branch]
    before = sum(seq < max(fired, default=0) for seq, _ in received)
    if before > len(account["taken"]):
        yield f"{token}: {before} values came before its last sleep ended, it took {len(account['taken'])}"
    if not ROUNDS <= len(account["taken"]) + account["rivals"] <= 2 * ROUNDS or account["rivals"] < len(fired):
        yield f"{token}: {account} in {ROUNDS} rounds, {len(fired)} sleeps fired"


def value_of(event: Event) -> str:
    return str(json.loads(event.hook_received.payload.text))


def _require_both_outcomes(logs: dict[str, list[Event]], told: Told) -> None:
    """A storm in which one side always wins proves nothing."""
    accounts = [account for log in logs.values() for account in output(log)]
    taken = sum(len(account["taken"]) for account in accounts)
    rivals = sum(account["rivals"] for account in accounts)
    refused = sum(map(len, told.refused.values()))
    print(f"{taken} values taken, {rivals} rivals won, {refused} values refused")
    assert min(taken, rivals) > RUNS * BRANCHES
    assert refused > 0
