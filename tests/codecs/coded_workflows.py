"""Workflows whose values must not be seen by the store."""

from __future__ import annotations

import asyncio

from holdfast import RetryPolicy, hook, start, step, workflow


@step
async def whisper(word: str) -> str:
    return f"secret {word}"


@step(retry=RetryPolicy(max_attempts=1))
async def fail(word: str) -> None:
    raise ValueError(f"public {word}", {"why": f"secret {word}"})


@workflow(name="coded-child")
async def child(word: str) -> str:
    return f"secret child of {word}"


@workflow(name="coded")
async def coded(word: str, token: str) -> list[str]:
    async with hook(str, token=token, metadata={"of": "secret"}) as words:
        first, heard = await asyncio.gather(whisper(word), words)
    run = await start(child, heard)
    return [first, await whisper(heard), await run.result(), "secret " * 500]


@workflow(name="coded-failure")
async def failing(word: str) -> None:
    await fail(word)


ALL = (whisper, fail, child, coded, failing)
