"""The workflows that the tests of the front door start."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from holdfast import hook, sleep, step, workflow


class Order(BaseModel):
    """An order."""

    id: str
    cents: int = 0


class Approval(BaseModel):
    """What an approver says."""

    approved: bool
    by: str


@step
async def charge(order: Order) -> str:
    """Charge the customer.

    Not shown in lists.
    """
    return f"charged {order.id}"


@workflow(name="checkout", version="3", timeout="7d")
async def checkout(order: Order) -> str:
    """Sell something."""
    return await charge(order)


@workflow(name="sum")
async def add(left: int, right: int = 2) -> int:
    return left + right


@workflow(name="echo")
async def echo(value: Any = None) -> Any:
    return value


@workflow(name="sleeper")
async def sleeper(naps: int) -> str:
    await asyncio.gather(*(sleep("1 day") for _ in range(naps)))
    return "awake"


@workflow(name="approval")
async def approve(token: str) -> str:
    async with hook(Approval, token=token) as approvals:
        approval = await approvals
    return f"by {approval.by}"


@workflow(name="forever")
async def forever() -> None:
    await asyncio.Event().wait()


@workflow(name="broken")
async def broken() -> None:
    raise ValueError("broken by design")


@workflow(name="reaching")
async def reaching() -> float:
    import time

    return time.time()


ALL = (charge, checkout, add, echo, sleeper, approve, forever, broken, reaching)
