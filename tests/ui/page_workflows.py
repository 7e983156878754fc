"""The workflows whose pages the tests read."""

from __future__ import annotations

import asyncio

from holdfast import (
    FatalError,
    RetryableError,
    StreamWriter,
    hook,
    set_attributes,
    sleep,
    start,
    step,
    stream,
    workflow,
)
from holdfast import step_info as info

MARKUP = "<script>alert('&\"')</script>"

#: Run id → set once its step may go on.
GATES: dict[str, asyncio.Event] = {}


@step(name="ui.flaky")
async def flaky(value: str) -> str:
    """Fails once."""
    if info().attempt == 1:
        raise RetryableError(f"not yet: {value}", retry_after="10ms")
    return value


@step(name="ui.refuses")
async def refuses(value: str) -> None:
    try:
        int(value)
    except ValueError as error:
        raise FatalError(f"declined: {value}") from error


@step(name="ui.tells")
async def tells(out: StreamWriter[str], key: str) -> None:
    await out.write(f"first {MARKUP}")
    await GATES.setdefault(key, asyncio.Event()).wait()
    await out.write("second")


@workflow(name="ui-child")
async def child(value: str) -> str:
    return value


@workflow(name="ui-tour")
async def tour(token: str) -> str:
    """Does a little of everything."""
    await set_attributes(stage=MARKUP)
    await flaky(MARKUP)
    await sleep("20ms")
    await (await start(child, MARKUP)).result()
    async with hook(str, token=token) as values:
        return await values


@workflow(name="ui-failing", version="7")
async def failing(value: str) -> None:
    await refuses(value)


@workflow(name="ui-telling")
async def telling(key: str) -> str:
    await tells(stream("progress", type=str), key)
    return "told"


@workflow(name="ui-long")
async def long(count: int) -> int:
    for index in range(count):
        await counts(index)
    return count


@step(name="ui.counts")
async def counts(index: int) -> int:
    return index


ALL = (flaky, refuses, tells, child, tour, failing, telling, long, counts)
