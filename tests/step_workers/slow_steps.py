"""A Python step of a queue that hangs in its first attempt, for runtimes in other processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from holdfast import step, step_info, workflow


@step(name="outside.slow", queue="slow")
async def slow(folder: str) -> str:
    attempt = step_info().attempt
    Path(folder, f"began-{attempt}").touch()  # noqa: ASYNC240 - the test is another process
    await asyncio.sleep(60 if attempt == 1 else 0)
    return f"by attempt {attempt}"


@workflow(name="outside.slowly")
async def slowly(folder: str) -> str:
    return await slow(folder)
