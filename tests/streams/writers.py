"""The workflows of the stream tests; a runtime process loads this file, and the tests import it.

A body that must wait for the test waits for a file in the folder that it is given: that works over processes too.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel

from holdfast import RetryPolicy, StreamWriter, start, step, step_info, stream, workflow

QUICK = RetryPolicy(max_attempts=3, initial_interval=0.01, jitter=0)


class Progress(BaseModel):
    done: int
    note: str = ""


class Broken(Exception):
    pass


async def until(path: str) -> None:
    while not _exists(path):  # noqa: ASYNC110 - the test may be another process
        await asyncio.sleep(0.01)


def _exists(path: str) -> bool:
    return Path(path).exists()


@step(name="flow.count")
async def count(writer: StreamWriter[Progress], items: int) -> int:
    for number in range(items):
        await writer.write(Progress(done=number))
    return items


@workflow(name="flow.counting")
async def counting(items: int) -> int:
    return await count(stream("progress", type=Progress), items)


@step(name="flow.stumble", retry=QUICK)
async def stumble(writer: StreamWriter[str]) -> str:
    attempt = step_info().attempt
    await writer.write(f"{attempt}a")
    await writer.write(f"{attempt}b")
    if attempt < 3:
        raise Broken(attempt)
    return "done"


@workflow(name="flow.stumbling")
async def stumbling() -> str:
    return await stumble(stream(type=str))


@step(name="flow.follow")
async def follow(writer: StreamWriter[int], folder: str, items: int) -> None:
    """Write one item for each file that the test makes."""
    for number in range(items):
        await until(f"{folder}/{number}")
        await writer.write(step_info().attempt * 100 + number)


@workflow(name="flow.following")
async def following(folder: str, items: int) -> None:
    await follow(stream("live", type=int), folder, items)


@step(name="flow.raw")
async def raw(chunks: int, size: int) -> None:
    writer = stream("raw", type=bytes)
    for number in range(chunks):
        await writer.write(bytes([number % 256]) * size)
    await writer.close()


@workflow(name="flow.raw_bytes")
async def raw_bytes(chunks: int, size: int) -> None:
    await raw(chunks, size)


@step(name="flow.plain")
def plain(writer: StreamWriter[str]) -> None:
    """A plain function: it has a loop of its own for what it awaits."""

    async def write() -> None:
        for number in range(5):
            await writer.write(f"plain {number}")
        await writer.close()

    asyncio.run(write())


@workflow(name="flow.from_a_thread")
async def from_a_thread() -> None:
    await plain(stream("plain", type=str))


@step(name="flow.closing", retry=RetryPolicy(max_attempts=1))
async def closing(writer: StreamWriter[int], folder: str) -> str:
    await writer.write(1)
    await writer.close()
    await writer.close()
    try:
        await writer.write(2)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    await until(f"{folder}/go")
    return said


@workflow(name="flow.closed")
async def closed(folder: str) -> str:
    return await closing(stream("ends", type=int), folder)


@step(name="flow.wrong", retry=RetryPolicy(max_attempts=1))
async def wrong(kind: str) -> None:
    writer = stream("wrong", type=Progress)
    if kind == "type":
        await writer.write("no progress")  # type: ignore[arg-type]
    await stream("wrong", type=bytes).write(b"x" * (1024 * 1024 + 1))


@workflow(name="flow.wrong_items")
async def wrong_items(kind: str) -> None:
    await wrong(kind)


@workflow(name="flow.writes_itself")
async def writes_itself() -> str:
    try:
        await stream("mine").write(1)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "it was let through"


@step(name="flow.silent", retry=RetryPolicy(max_attempts=1))
async def silent(writer: StreamWriter[int], folder: str) -> None:
    await writer.write(1)
    await until(f"{folder}/never")


@workflow(name="flow.cancelled")
async def cancelled(folder: str) -> None:
    await silent(stream("cut", type=int), folder)


@workflow(name="flow.child")
async def child(writer: StreamWriter[str]) -> str:
    return await stumble(writer)


@workflow(name="flow.parent")
async def parent() -> str:
    mine = stream("family", type=str)
    started = await start(child, mine)
    return await started.result()


ALL = (
    child,
    parent,
    count,
    counting,
    stumble,
    stumbling,
    follow,
    following,
    raw,
    raw_bytes,
    plain,
    from_a_thread,
    closing,
    closed,
    wrong,
    wrong_items,
    writes_itself,
    silent,
    cancelled,
)
