"""Workflows whose every value carries a mark, for the test that looks for it where it must not be."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from holdfast import FatalError, RetryPolicy, StepFailed, hook, step, stream, webhook, workflow

MARK = "geheim-4711"


class Card(BaseModel):
    number: str
    amount: int


@step(name="marked.echo")
async def echo(card: Card) -> Card:
    writer = stream("progress", type=str)
    await writer.write(f"{card.number} on its way")
    await writer.close()
    return card


@step(name="marked.refuse", retry=RetryPolicy(max_attempts=2, initial_interval=0.01))
async def refuse(card: Card) -> None:
    try:
        raise KeyError(card.number)
    except KeyError as error:
        raise FatalError(f"declined {card.number}") from error


@step(name="marked.wrong_result")
async def wrong_result(card: Card) -> int:
    return card.number  # type: ignore[return-value]


@step(name="marked.lost_task")
async def lost_task(card: Card) -> None:
    async def fail() -> None:
        raise ValueError(card.number)

    lost = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del lost


@step(name="marked.publish")
async def publish(url: str) -> str:
    return url


@workflow(name="marked.all")
async def everything(card: Card) -> Card:
    echoed = await echo(card)
    for failing in (refuse, wrong_result):
        try:
            await failing(card)
        except StepFailed as error:
            assert MARK in str(error) or error.__cause__ is not None
    await lost_task(card)
    async with hook(Card, token=f"hook-{card.number}") as cards:
        await cards
    async with webhook() as requests:
        await publish(requests.url)
        await requests
    return echoed


@workflow(name="marked.fails")
async def fails(card: Card) -> None:
    raise RuntimeError(f"cannot take {card.number}")


@workflow(name="marked.blocked")
async def blocked(card: Card) -> None:
    await asyncio.open_connection(card.number, 80)
