"""Workflows that are traced."""

from __future__ import annotations

from opentelemetry import trace

from holdfast import FatalError, hook, sleep, start, step, workflow


@step(name="traced.charge")
async def charge(order_id: str) -> str:
    with trace.get_tracer("user").start_as_current_span("ask the bank"):
        return f"{order_id} charged"


@step(name="traced.print")
def print_label(order_id: str) -> str:
    with trace.get_tracer("user").start_as_current_span("warm the printer"):
        return order_id


@step(name="traced.flaky")
async def flaky(failures: int) -> None:
    raise FatalError("the secret word")


@workflow(name="traced.checkout")
async def checkout(order_id: str) -> str:
    charged = await charge(order_id)
    await sleep("30d")
    await print_label(order_id)
    async with hook(str, token=f"traced:{order_id}") as answers:
        return f"{charged}, {await answers}"


@workflow(name="traced.failing")
async def failing() -> None:
    await flaky(1)


@workflow(name="traced.parent")
async def parent() -> str:
    child = await start(kid, "k")
    return await child.result()


@workflow(name="traced.kid")
async def kid(order_id: str) -> str:
    return await charge(order_id)
