"""The workflows of the storms: one that uses every primitive, and one that keeps a ledger of races.

Both are deterministic in what they return whatever crashes on the way, so that a storm can compare. ``everything`` has
one right result, `EVERYTHING`. ``ledger`` returns what each branch took from its hook, in order; the storm knows what
senders were told.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, TypedDict

from holdfast import (
    FatalError,
    Hook,
    RetryPolicy,
    StepFailed,
    hook,
    run_info,
    set_attributes,
    sleep,
    step,
    step_info,
    workflow,
)
from tests.storms.store_calls import StoreCalls

#: What ``everything`` returns.
EVERYTHING: dict[str, Any] = {
    "steps": [4, 9, 5],
    "gather": [20, 30, 11],
    "group": [0, 2, 4],
    "race": "the quick one",
    "timeout": "nobody came",
    "hook": ["a", "b", "c"],
    "compensated": [42, "FatalError: doomed"],
    "attributes": {"stage": "end"},
}

#: A lost attempt is tried again at once, and there are enough of them for any crash.
_RETRY = RetryPolicy(max_attempts=10, initial_interval=0.02, backoff=1, jitter=0)


@step(name="storm.double", retry=_RETRY)
async def double(number: int) -> int:
    return 2 * number


@step(name="storm.triple", retry=_RETRY)
def triple(number: int) -> int:
    return 3 * number


@step(name="storm.flaky", retry=_RETRY)
async def flaky(number: int) -> int:
    if step_info().attempt == 1:
        raise ConnectionError("the first attempt always fails")
    return number + 1


@step(name="storm.doomed", retry=_RETRY)
async def doomed() -> None:
    raise FatalError("doomed")


@step(name="storm.slow", retry=_RETRY)
async def slow() -> str:
    await asyncio.Event().wait()
    return "the slow one"


@step(name="storm.quick", retry=_RETRY)
async def quick() -> str:
    return "the quick one"


@step(name="storm.send", retry=_RETRY)
async def send(token: str, values: list[str]) -> None:
    async with StoreCalls(os.environ["HOLDFAST_STORE_ADDRESS"]) as calls:
        for number, value in enumerate(values):
            await calls.send(token, value, request_id=f"{step_info().idempotency_key}:{number}")


@workflow(name="storm.everything")
async def everything() -> dict[str, Any]:
    """Uses every primitive once, as people do."""
    await set_attributes(stage="begin", note="gone in the end")
    found: dict[str, Any] = {"steps": [await double(2), await triple(3), await flaky(4)]}
    found["gather"] = await asyncio.gather(double(10), triple(10), flaky(10))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(double(number)) for number in range(3)]
    found["group"] = [task.result() for task in tasks]
    await sleep("30ms")
    found["race"] = await race()
    found["timeout"] = await nobody()
    found["hook"] = await take_three()
    found["compensated"] = await compensate()
    await set_attributes(stage="end", note=None)
    found["attributes"] = dict(run_info().attributes)
    return found


async def race() -> str:
    """Two steps, one of which never ends: the loser is cancelled."""
    tasks = [asyncio.create_task(quick()), asyncio.create_task(slow())]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return done.pop().result()


async def nobody() -> str:
    """A deadline that passes."""
    try:
        async with asyncio.timeout(0.03), hook(str) as values:
            return await values
    except TimeoutError:
        return "nobody came"


async def take_three() -> list[str]:
    """A hook that gets three values before anybody awaits them."""
    async with hook(str, token=f"three:{run_info().run_id}") as values:
        assert await values.conflict() is None
        await send(values.token, ["a", "b", "c"])
        return [await values for _ in range(3)]


async def compensate() -> list[Any]:
    """A step that fails for good, and a step in a finally."""
    undone: list[Any] = []
    try:
        try:
            await doomed()
        finally:
            undone.append(await double(21))
    except StepFailed as failed:
        undone.append(f"{type(failed.__cause__).__name__}: {failed.__cause__}")
    return undone


class Account(TypedDict):
    """What one branch of a ledger saw: values in the order it took them, and how often its rival won."""

    taken: list[str]
    rivals: int


@step(name="storm.nap", retry=_RETRY)
async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


@workflow(name="storm.ledger")
async def ledger(branches: int, rounds: int, seconds: float) -> list[Account]:
    """Races a hook against sleeps and steps, in rounds, in branches."""
    return await asyncio.gather(*(_branch(number, rounds, seconds) for number in range(branches)))


async def _branch(number: int, rounds: int, seconds: float) -> Account:
    account = Account(taken=[], rivals=0)
    async with hook(str, token=token_of(run_info().run_id, number)) as values:
        for turn in range(rounds):
            rival = nap(seconds) if (number + turn) % 2 else sleep(seconds)
            await _round(account, values, asyncio.ensure_future(rival))
    return account


async def _round(account: Account, values: Hook[str], rival: asyncio.Future[None]) -> None:
    value = asyncio.ensure_future(_take(values))
    done, pending = await asyncio.wait([value, rival], return_when=asyncio.FIRST_COMPLETED)
    for loser in pending:
        loser.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if value in done:
        account["taken"].append(value.result())
    account["rivals"] += rival in done


async def _take(values: Hook[str]) -> str:
    return await values


def token_of(run_id: str, branch: int) -> str:
    """The token of a branch's hook, for senders."""
    return f"ledger:{run_id}:{branch}"
