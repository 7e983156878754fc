"""The shop's website: FastAPI in front of durable workflows.

It keeps nothing: an order is a run whose id is made of the order's, so any number of copies of this program, restarted
at any time, show the same. Start it with ``uvicorn examples.shop.web:app``; HOLDFAST_RUNTIME_ADDRESS says where the
runtime is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from examples.shop.workflows import Order, Progress, Receipt, checkout
from holdfast import Client, Reset, RunHandle, RunNotFound


class Placed(BaseModel):
    """Where to look for an order."""

    status: str
    receipt: Receipt | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for the life of the program."""
    async with Client() as client:
        app.state.client = client
        yield


app = FastAPI(title="A shop", lifespan=lifespan)


def of_app(request: Request) -> Client:
    client: Client = request.app.state.client
    return client


Shop = Annotated[Client, Depends(of_app)]


@app.post("/orders", status_code=202)
async def place(order: Order, shop: Shop) -> Placed:
    """Place an order. The same order again is the same run, so a nervous double click buys once."""
    run = await shop.start(
        checkout, order, id=_run_id(order.id), attributes={"item": order.item}, on_conflict="use_existing"
    )
    return Placed(status=await run.status())


@app.get("/orders/{order_id}")
async def look(order_id: str, shop: Shop) -> Placed:
    """Tell how an order stands."""
    run = await _run(shop, order_id)
    status = await run.status()
    return Placed(status=status, receipt=Receipt.model_validate(await run.result()) if status == "completed" else None)


@app.get("/orders/{order_id}/progress")
async def follow(order_id: str, shop: Shop, last_event_id: Annotated[int, Header()] = -1) -> StreamingResponse:
    """Show live what happens, as server-sent events. A browser that reconnects goes on where it was."""
    run = await _run(shop, order_id)
    return StreamingResponse(_events(run, last_event_id + 1), media_type="text/event-stream")


@app.post("/orders/{order_id}/cancel", status_code=202)
async def cancel(order_id: str, shop: Shop) -> Placed:
    """Call an order off: the workflow gives back what it has reserved, then it ends."""
    run = await _run(shop, order_id)
    await run.cancel("the customer changed their mind")
    return Placed(status=await run.status())


async def _events(run: RunHandle[Receipt], start_index: int) -> AsyncIterator[str]:
    async for it in run.stream("progress", type=Progress, start_index=start_index).chunks():
        if isinstance(it, Reset):
            # The step was tried again: what it had said so far is void.
            yield f"event: reset\ndata: {it.step_id}\n\n"
        else:
            yield f"id: {it.index}\ndata: {it.data.model_dump_json()}\n\n"


def _run_id(order_id: str) -> str:
    return f"order-{order_id}"


async def _run(shop: Client, order_id: str) -> RunHandle[Receipt]:
    run: RunHandle[Receipt] = shop.run(_run_id(order_id))
    try:
        await run.status()
    except RunNotFound:
        raise HTTPException(404, f"there is no order {order_id}") from None
    return run
