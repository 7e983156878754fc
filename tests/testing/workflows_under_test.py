"""Workflows that the tests of `holdfast.testing` test."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Any

from pydantic import BaseModel

import holdfast
from holdfast import RetryPolicy, StreamWriter, hook, run_info, sleep, start, step, step_info, stream, workflow

log = logging.getLogger(__name__)


class Order(BaseModel):
    id: str
    cents: int


class Receipt(BaseModel):
    charge_id: str
    shipped_at: datetime


@step
async def charge(order: Order) -> str:
    return f"ch_{order.id}_{order.cents}"


@step
def charge_in_thread(order: Order) -> str:
    return f"thread_{order.id}"


@step(retry=RetryPolicy(max_attempts=3, initial_interval=60, max_interval=600))
async def ship(order: Order) -> str:
    return f"parcel_{step_info().attempt}"


@step(retry=RetryPolicy(max_attempts=1))
async def only_once(name: str) -> str:
    return f"{name}:done"


@step
async def listed(count: int) -> list[int]:
    return list(range(count))


@workflow
async def checkout(order: Order) -> Receipt:
    charge_id = await charge(order)
    log.info("charged %s", charge_id)
    await sleep("30 days")
    await ship(order)
    return Receipt(charge_id=charge_id, shipped_at=holdfast.now())


@workflow
async def plain(order: Order) -> str:
    return await charge(order)


@workflow
async def in_thread(order: Order) -> str:
    return await charge_in_thread(order)


@workflow
async def shipping(order: Order) -> str:
    return await ship(order)


@workflow
async def once() -> str:
    return await only_once("a")


@workflow
async def wide(count: int) -> list[str]:
    names = [f"n{number}" for number in range(count)]
    return list(await asyncio.gather(*(only_once(name) for name in names)))


@workflow
async def approval(token: str) -> str:
    async with hook(str, token=token) as answers:
        try:
            async with asyncio.timeout(3600):
                return await answers
        except TimeoutError:
            return "nobody"


@workflow
async def approval_without_end(token: str) -> str:
    async with hook(str, token=token) as answers:
        first = await answers
        await only_once(first)
        return first + await answers


@workflow
async def cleaned_up() -> str:
    try:
        await sleep("10 days")
    finally:
        await only_once("cleanup")
    return "slept"


@workflow
async def ticking(ticks: int) -> list[str]:
    seen = []
    for number in range(ticks):
        await sleep("1h")
        seen.append(await only_once(str(number)))
    return seen


@workflow
async def reaching_out() -> str:
    import time

    return str(time.time())


@workflow
async def everything(order: Order) -> dict[str, Any]:
    """Steps one after the other and beside each other, a timer, ids and times, and a step that fails for a while."""
    charged = await charge(order)
    both = await asyncio.gather(only_once("a"), only_once("b"))
    await sleep("2h")
    return {
        "charged": charged,
        "both": both,
        "at": holdfast.now(),
        "id": holdfast.uuid4(),
        "luck": holdfast.random().random(),
        "run": run_info().run_id,
    }


@step
async def tell(writer: StreamWriter[str], words: list[str]) -> int:
    for word in words:
        await writer.write(word)
    await writer.close()
    return len(words)


@workflow
async def talking(words: list[str]) -> int:
    await sleep("1h")
    return await tell(stream("words", type=str), words)


@workflow
async def child(name: str) -> str:
    await sleep("1d")
    return await only_once(name)


@workflow
async def parent() -> list[str]:
    children = [await start(child, name) for name in ("a", "b")]
    return [await run.result() for run in children]
