"""The workflows of the client's tests; a runtime process loads this file, and the tests import it."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from holdfast import RetryPolicy, hook, set_attributes, sleep, step, workflow


class Order(BaseModel):
    id: str
    seal: bytes = b"\xff"


class Approval(BaseModel):
    approved: bool


class Declined(Exception):
    pass


@step(name="shop.charge")
async def charge(order: Order) -> Order:
    return Order(id=f"charged {order.id}", seal=order.seal)


@step(name="shop.decline", retry=RetryPolicy(max_attempts=1))
async def decline(reason: str) -> None:
    raise Declined(reason)


@workflow(name="client_shop.checkout")
async def checkout(order: Order, suffix: str = "") -> Order:
    """Charge and return."""
    await set_attributes(stage="paid")
    charged = await charge(order)
    return Order(id=charged.id + suffix, seal=charged.seal)


@workflow(name="shop.approve")
async def approve(order: Order) -> list[bool]:
    async with hook(Approval, token=f"approve:{order.id}", metadata={"order": order.id}) as approvals:
        return [(await approvals).approved, (await approvals).approved]


@workflow(name="shop.fail")
async def fail(reason: str) -> None:
    await decline(reason)


@workflow(name="shop.rest")
async def rest() -> str:
    await asyncio.gather(sleep("1 day"), sleep("2 days"))
    return "rested"


ALL = (charge, decline, checkout, approve, fail, rest)
