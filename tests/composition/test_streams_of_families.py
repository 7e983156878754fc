"""A stream of the parent, written by its child: the handle travels as an argument."""

from __future__ import annotations

from holdfast import Client, StreamWriter, start, step, stream, workflow
from tests.support.runtime import running_runtime
from tests.support.store import Store


@step(name="streams.say")
async def say(words: StreamWriter[str], word: str) -> None:
    await words.write(word)


@step(name="streams.finish")
async def finish(words: StreamWriter[str]) -> None:
    await words.close()


@workflow(name="streams.child")
async def child(words: StreamWriter[str]) -> None:
    await say(words, "from the child")


@workflow(name="streams.parent")
async def parent() -> None:
    words = stream("words", type=str)
    await say(words, "from the parent")
    await (await start(child, words)).result()
    await finish(words)


async def test_a_child_writes_to_the_stream_of_its_parent(store: Store) -> None:
    async with running_runtime(store.address, say, finish, child, parent) as runtime, Client(runtime.address) as client:
        run = await client.start(parent)
        assert [word async for word in run.stream("words", type=str)] == ["from the parent", "from the child"]
        await run.result("20s")
