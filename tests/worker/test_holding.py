"""What a hold does with its attempts while the run itself has nothing to write, and when its replay stops.

Every test here is a bug that was: see tests/BUGS.md.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from holdfast import Client, RetryPolicy, hook, set_attributes, step, step_info, workflow
from holdfast.errors import HookNotFound, LimitExceeded, RunCancelled, RunFailed, StepFailed
from holdfast.v1 import event_pb2, payload_pb2
from tests.support.runtime import running_runtime
from tests.support.store import Store, add

#: What the steps of this file told, in order.
TOLD: list[str] = []

#: What `gated` waits for.
GATE = threading.Event()


@step(name="holding-linger")
async def linger(seconds: float) -> str:
    TOLD.append("began")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        TOLD.append("cancelled")
        raise
    return "stayed"


@step(name="holding-second_time", retry=RetryPolicy(max_attempts=2, initial_interval=0.5, jitter=0))
async def second_time() -> int:
    TOLD.append("tried")
    if step_info().attempt == 1:
        raise ValueError("not yet")
    return step_info().attempt


@workflow(name="holding-loser")
async def loser(token: str) -> list[str]:
    """A value wins against a step; after that the hook is waited for again, which is nothing to write down."""
    async with hook(str, token=token) as answers:

        async def first() -> str:
            return await answers

        tasks = {asyncio.create_task(first()), asyncio.create_task(linger(60))}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [*(task.result() for task in done), await answers]


@workflow(name="holding-waits_in_cleanup")
async def waits_in_cleanup(token: str) -> None:
    async with hook(str, token=token) as answers:
        await answers.conflict()
        try:
            await linger(60)
        finally:
            TOLD.append(await answers)


@workflow(name="holding-lingers")
async def lingers(seconds: float) -> str:
    return await linger(seconds)


@workflow(name="holding-tries_twice")
async def tries_twice() -> int:
    return await second_time()


@workflow(name="holding-looks_at_the_clock")
async def looks_at_the_clock() -> Any:
    """A step begins in the write that opens the hook, and the replay stops at what that write tells it."""

    async def look() -> float:
        await hook(str).conflict()
        return time.time()

    return await asyncio.gather(linger(0), look())


@step(name="holding-label", retry=RetryPolicy(max_attempts=1))
async def label(name: str) -> str:
    """Set 40 attributes in the turn in which the other one does."""
    TOLD.append(name)
    while len(TOLD) % 2:  # noqa: ASYNC110 - the other is there in a moment
        await asyncio.sleep(0)
    await set_attributes(**{f"{name}{number}": "x" for number in range(40)})
    return name


@workflow(name="holding-labels_twice")
async def labels_twice() -> list[str]:
    return await asyncio.gather(label("a"), label("b"))


@step(name="holding-gated")
def gated() -> str:
    """In a thread, where nobody can call it off."""
    TOLD.append("began")
    GATE.wait(10)
    TOLD.append("ended")
    return "ours"


@workflow(name="holding-goes_on")
async def goes_on(token: str) -> list[str]:
    async with hook(str, token=token) as answers:
        got = await gated()
        await set_attributes(seen=got)
        return [got, await answers, await answers]


ALL = (
    gated,
    goes_on,
    linger,
    second_time,
    label,
    loser,
    waits_in_cleanup,
    lingers,
    tries_twice,
    looks_at_the_clock,
    labels_twice,
)


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    """A client of a runtime with room for one attempt."""
    TOLD.clear()
    async with running_runtime(store.address, *ALL, concurrency=1) as runtime, Client(runtime.address) as opened:
        yield opened


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - what steps tell has no event
            await asyncio.sleep(0.01)


async def send(client: Client, token: str, value: str) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                return await client.resume(token, value)
            except HookNotFound:
                await asyncio.sleep(0.01)


async def test_a_step_that_lost_its_race_is_cancelled_though_nothing_is_written(client: Client) -> None:
    run = await client.start("holding-loser", "loser")
    await until(lambda: TOLD == ["began"])
    await send(client, "loser", "one")
    await until(lambda: TOLD == ["began", "cancelled"])
    await send(client, "loser", "two")
    assert await run.result(timeout="10s") == ["one", "two"]


async def test_a_cancel_reaches_the_running_step_though_the_cleanup_writes_nothing(client: Client) -> None:
    run = await client.start("holding-waits_in_cleanup", "cleanup")
    await until(lambda: TOLD == ["began"])
    await run.cancel("enough")
    await until(lambda: TOLD == ["began", "cancelled"])
    await send(client, "cleanup", "cleaned up")
    with pytest.raises(RunCancelled):
        await run.result(timeout="10s")
    assert TOLD[-1] == "cleaned up"


async def test_a_retry_without_a_slot_waits_at_rest(client: Client) -> None:
    retried = await client.start("holding-tries_twice")
    await until(lambda: TOLD == ["tried"])
    slow = await client.start("holding-lingers", 60)
    await until(lambda: TOLD == ["tried", "began"])
    async with asyncio.timeout(10):
        while (await retried.describe()).open_steps[0].retry_time.ToNanoseconds() > time.time_ns():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    used = time.process_time()
    await asyncio.sleep(0.4)
    assert time.process_time() - used < 0.1
    await slow.cancel()
    assert await retried.result(timeout="10s") == 2


async def test_a_replay_that_stops_at_its_own_write_keeps_no_slot_and_loses_no_step(client: Client) -> None:
    stopped = await client.start("holding-looks_at_the_clock")
    await until(lambda: TOLD == ["began"])
    async with asyncio.timeout(10):
        while not (await stopped.describe()).HasField("last_replay_failure"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await (await client.start("holding-lingers", 0)).result(timeout="10s") == "stayed"
    names = [event.WhichOneof("attributes") async for event in _log(stopped)]
    assert names.count("step_started") == names.count("step_completed") == 1


async def test_of_two_steps_that_together_set_too_many_attributes_one_is_told(store: Store) -> None:
    TOLD.clear()
    async with running_runtime(store.address, *ALL) as runtime, Client(runtime.address) as client:
        run = await client.start("holding-labels_twice")
        with pytest.raises(RunFailed) as failed:
            await run.result(timeout="10s")
        attributes = (await run.describe()).run.attributes
    assert isinstance(failed.value.__cause__, StepFailed)
    assert isinstance(failed.value.__cause__.__cause__, LimitExceeded)
    assert len(attributes) == 40


async def test_results_written_with_attributes_that_are_too_many_are_not_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is when somebody else, whom this process has not heard of yet, has used them up."""
    monkeypatch.setattr("holdfast.limits.ATTRIBUTES_MAX", 1_000)
    TOLD.clear()
    async with running_runtime(store.address, *ALL) as runtime, Client(runtime.address) as client:
        run = await client.start("holding-labels_twice")
        assert await run.result(timeout="10s") == ["a", "b"]
        described = await run.describe()
    assert sorted(TOLD) == ["a", "b"]
    assert len(described.run.attributes) == 40
    assert not described.HasField("last_replay_failure")


async def _log(run: Any) -> AsyncIterator[Any]:
    async with asyncio.timeout(10):
        async for event in run.events():
            yield event
            if event.HasField("step_completed"):
                return


async def test_a_result_of_a_step_that_another_runtime_has_ended_is_dropped_and_blocks_nothing(
    client: Client, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    """As after a pause: the step was run again elsewhere, and its own attempt here ends afterwards."""
    GATE.clear()
    run = await client.start("holding-goes_on", "goes on")
    await until(lambda: TOLD == ["began"])
    step_id = (await run.describe()).open_steps[0].step_id
    theirs = event_pb2.StepCompleted(attempt=1, output=payload_pb2.Payload(text='"theirs"'))
    await add(store.client, run.id, event_pb2.Event(correlation_id=step_id, step_completed=theirs))
    # Results are not pushed: it is a value that makes the runtime read the log.
    await send(client, "goes on", "look")
    async with asyncio.timeout(10):
        while "seen" not in (await run.describe()).run.attributes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    GATE.set()
    await until(lambda: TOLD[-1] == "ended")
    await send(client, "goes on", "and ends")
    assert await run.result(timeout="10s") == ["theirs", "look", "and ends"]
    said = capfd.readouterr()
    assert "run blocked" not in said.out + said.err
