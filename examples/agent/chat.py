"""Talk with the agent in a terminal: its words come live, and it asks before it does what cannot be undone.

``python -m examples.agent.chat "refund order 7"``. An empty line says goodbye; so does the end of the input.
"""

from __future__ import annotations

import asyncio
import sys

from examples.agent.agent import converse
from holdfast import Client, Reset, RunHandle
from holdfast.v1.entity_pb2 import Hook


async def main(question: str) -> None:
    async with Client() as client:
        run = await client.start(converse, question)
        listening = asyncio.create_task(show_words(run))
        answering = asyncio.create_task(answer(client, run))
        print(f"({len(await run.result())} messages)")
        await asyncio.gather(listening, answering)


async def show_words(run: RunHandle[object]) -> None:
    """Print what the model says, as it says it."""
    async for it in run.stream("words", type=str).chunks():
        print("\n(once more)" if isinstance(it, Reset) else it.data, end="", flush=True)


async def answer(client: Client, run: RunHandle[object]) -> None:
    """Ask the person at the terminal whatever the run waits for, until it has ended."""
    answered: set[str] = set()
    while not has_ended(await run.status()):
        for it in (await run.describe()).open_hooks:
            if it.hook_id not in answered:
                answered.add(it.hook_id)
                await client.resume(it.token, await asyncio.to_thread(ask, it))
        await asyncio.sleep(0.1)


def ask(it: Hook) -> str | bool:
    """Ask the person for the value of a hook."""
    if it.token.endswith(":person"):
        return read_line("\nyou: ")
    return read_line(f"\n{it.metadata.text}: may I? [y/N] ").lower() == "y"


def read_line(prompt: str) -> str:
    """Read a line; the end of the input is an empty one."""
    try:
        return input(prompt).strip()
    except EOFError:
        return ""


def has_ended(status: str) -> bool:
    return status not in ("pending", "running")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:])))
