"""The workflows of a soak: one for each way in which people use holdfast, small, and with one right result each.

`MIX` is the table that the load goes round: what to start, what it must return, and what the outside has to do
meanwhile. Every result depends on the run's number, so that answers which go to the wrong run are seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from holdfast import Client, RetryPolicy, StreamWriter, hook, run_info, sleep, start, step, stream, workflow
from holdfast.client import RunHandle
from holdfast.errors import HookNotFound

NAP_SECONDS: Final = 1.0
ITEMS: Final = 20

_LOOK_AGAIN_SECONDS: Final = 0.05

#: A lost attempt is tried again at once, and there are enough of them for any crash.
_RETRY: Final = RetryPolicy(max_attempts=20, initial_interval=0.05, backoff=1, jitter=0)


@step(name="soak.add", retry=_RETRY)
async def add(one: int, other: int) -> int:
    return one + other


@step(name="soak.add_plainly", retry=_RETRY)
def add_plainly(one: int, other: int) -> int:
    return one + other


@step(name="soak.tell", retry=_RETRY)
async def tell(number: int, items: StreamWriter[int]) -> int:
    for item in range(ITEMS):
        await items.write(number + item)
    await items.close()
    return ITEMS


@workflow(name="soak.steps")
async def steps(number: int) -> int:
    """Steps one after the other, then at once."""
    total = await add_plainly(await add(number, 1), 1)
    return sum(await asyncio.gather(*(add(total, it) for it in range(3))))


@workflow(name="soak.nap")
async def nap(number: int) -> int:
    await sleep(NAP_SECONDS)
    return await add(number, 1)


@workflow(name="soak.question")
async def question(number: int) -> int:
    async with hook(int, token=token_of(run_info().run_id)) as answers:
        return await add(number, await answers)


@workflow(name="soak.story")
async def story(number: int) -> int:
    return await tell(number, stream("story", type=int))


@workflow(name="soak.family")
async def family(number: int) -> int:
    children = [await start(steps, number), await start(nap, number)]
    return sum([await child.result() for child in children])


def token_of(run_id: str) -> str:
    return f"soak:{run_id}"


#: What the outside does for a run while it runs; told the client, the run and its number.
Company = Callable[[Client, RunHandle[Any], int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the mix. ``idle_seconds`` is what a run of it sleeps by itself, which is no latency."""

    workflow: str
    result: Callable[[int], int]
    idle_seconds: float = 0.0
    company: Company | None = None


async def _answer(client: Client, run: RunHandle[Any], number: int) -> None:
    while True:
        try:
            await client.resume(token_of(run.id), number, request_id=f"answer:{run.id}")
            return
        except HookNotFound:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def _read(client: Client, run: RunHandle[Any], number: int) -> None:
    found = [item async for item in run.stream("story", type=int, mode="final")]
    wanted = [number + item for item in range(ITEMS)]
    if found != wanted:
        raise AssertionError(f"the stream of {run.id} gave {found}, written were {wanted}")


MIX: Final[tuple[Kind, ...]] = (
    Kind("soak.steps", lambda number: 3 * (number + 2) + 3),
    Kind("soak.question", lambda number: 2 * number, company=_answer),
    Kind("soak.steps", lambda number: 3 * (number + 2) + 3),
    Kind("soak.nap", lambda number: number + 1, idle_seconds=NAP_SECONDS),
    Kind("soak.story", lambda number: ITEMS, company=_read),
    Kind("soak.family", lambda number: 4 * number + 10, idle_seconds=NAP_SECONDS),
)
