"""A shop's checkout: reserve, wait a day for the payment, ship; and undo what was done when it does not work out.

The workflow reads like the sentence above. What it waits for is a webhook that the payment provider calls; what it does
is told on the stream "progress" while it happens. ``web.py`` is the shop's website, ``customer.py`` somebody who buys.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pydantic import BaseModel, Field

from holdfast import Request, Saga, StreamWriter, step, step_info, stream, webhook, workflow

#: How long a customer may take to pay.
PATIENCE = timedelta(days=1)


class Order(BaseModel):
    """What somebody wants."""

    id: str = Field(pattern=r"[A-Za-z0-9-]{1,40}")
    item: str
    cents: int = Field(gt=0)


class Progress(BaseModel):
    """What a customer sees while they wait."""

    stage: str
    text: str = ""
    pay_at: str = ""


class Receipt(BaseModel):
    """What a customer gets in the end."""

    order_id: str
    cents: int
    parcel: str


@step
async def reserve(order: Order, progress: StreamWriter[Progress]) -> str:
    """Put the item aside. The key makes a repeated attempt the same reservation."""
    await progress.write(Progress(stage="reserved", text=f"{order.item} is put aside for you"))
    return f"reservation {step_info().idempotency_key}"


@step
async def give_back(reservation: str) -> None:
    """Put the item back on the shelf."""
    print(f"given back: {reservation}", flush=True)


@step
async def ask_for_payment(order: Order, pay_at: str, progress: StreamWriter[Progress]) -> None:
    """Hand the provider the URL to call; here the customer is the provider."""
    await progress.write(Progress(stage="payment", text=f"{order.cents} cents, please", pay_at=pay_at))


@step
async def paid_cents(notification: Request, progress: StreamWriter[Progress]) -> int:
    """Read what the provider sent. A real one signs it: verify ``notification.headers`` here."""
    cents = int(notification.json()["cents"])
    await progress.write(Progress(stage="paid", text=f"{cents} cents, thank you"))
    return cents


@step
async def ship(order: Order, progress: StreamWriter[Progress]) -> str:
    """Send the parcel off."""
    await progress.write(Progress(stage="shipped", text=f"{order.item} is on its way"))
    await progress.close()
    return f"parcel-{order.id}"


@workflow(name="shop.checkout")
async def checkout(order: Order) -> Receipt:
    """Sell something."""
    progress = stream("progress", type=Progress)
    async with Saga() as saga:
        reservation = await reserve(order, progress)
        saga.add(give_back, reservation)
        await _payment(order, progress)
        parcel = await ship(order, progress)
    return Receipt(order_id=order.id, cents=order.cents, parcel=parcel)


async def _payment(order: Order, progress: StreamWriter[Progress]) -> None:
    """Wait until all of it is paid, in as many parts as the customer likes. Raises TimeoutError after a day."""
    due = order.cents
    async with webhook() as notifications, asyncio.timeout(PATIENCE.total_seconds()):
        await ask_for_payment(order, notifications.url, progress)
        async for notification in notifications:
            due -= await paid_cents(notification, progress)
            if due <= 0:
                return
