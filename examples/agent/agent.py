"""An agent: a model that thinks, uses tools, asks a person before it does what cannot be undone, and remembers.

The conversation is a workflow. Each thought of the model is a step, so an answer that was paid for is never asked for
again; each use of a tool is a step, several at once when the model wants several; a person approves by a hook, in a
minute or in the evening. What the model says is streamed word by word, and readers are told when a thought begins anew
after a failure. ``model.py`` is the model; ``chat.py`` talks with it in a terminal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from examples.agent.model import Message, Thought, ToolCall, words_of
from holdfast import RetryPolicy, StepFailed, StreamWriter, heartbeat, hook, run_info, step, stream, workflow

#: Thoughts in a row without a word of the person: an agent that runs in circles is stopped.
THOUGHTS_MAX: Final = 10


@step(timeout="5m", heartbeat_timeout="30s", retry=RetryPolicy(max_attempts=6, initial_interval=2))
async def think(conversation: list[Message], words: StreamWriter[str]) -> Thought:
    """Ask the model what to say and do next. A model that falls silent is asked again."""
    said, wants = "", []
    async for it in words_of(conversation):
        heartbeat()
        if isinstance(it, ToolCall):
            wants.append(it)
        else:
            said += it
            await words.write(it)
    return Thought(said=said.strip(), wants=wants)


@step
async def weather(city: str) -> str:
    """Look the weather up."""
    return f"rain in {city}"


@step
async def refund(order: str, cents: int) -> str:
    """Pay somebody back. There is no way back from here."""
    return f"{cents} cents of order {order} are paid back"


TOOLS: Final[dict[str, Callable[..., Awaitable[str]]]] = {"weather": weather, "refund": refund}

#: What a person has to agree to.
DANGEROUS: Final = frozenset(("refund",))


@workflow(name="agent.converse")
async def converse(question: str) -> list[Message]:
    """Talk until the person says goodbye, by an empty message; returns what was said."""
    conversation = [Message(by="person", text=question)]
    words = stream("words", type=str)
    while conversation[-1].text:
        await _answer(conversation, words)
        async with hook(str, token=f"{run_info().run_id}:person", metadata="your turn") as person:
            conversation.append(Message(by="person", text=await person))
    return conversation[:-1]


async def _answer(conversation: list[Message], words: StreamWriter[str]) -> None:
    """Let the model think and act until it has nothing more to do."""
    for _ in range(THOUGHTS_MAX):
        thought = await think(conversation, words)
        conversation.append(Message(by="model", text=thought.said))
        if not thought.wants:
            return
        results = await asyncio.gather(*(_use(call, number) for number, call in enumerate(thought.wants)))
        conversation += [Message(by="tool", text=result) for result in results]
    conversation.append(Message(by="tool", text="stopped: it went round in circles"))


async def _use(call: ToolCall, number: int) -> str:
    """Use a tool, if it may be used; the model is told of failures as of results, and decides."""
    tool = TOOLS.get(call.tool)
    if tool is None:
        return f"there is no tool {call.tool}"
    if call.tool in DANGEROUS and not await _is_approved(call, number):
        return f"{call.tool} was refused by a person"
    try:
        return await tool(**call.arguments)
    except (StepFailed, TypeError) as error:
        return f"{call.tool} did not work: {error}"


async def _is_approved(call: ToolCall, number: int) -> bool:
    """Ask a person. Whoever lists the open hooks sees what is asked; nobody answering for a day is a no."""
    token = f"{run_info().run_id}:approve:{number}"
    try:
        async with hook(bool, token=token, metadata=call.model_dump()) as approvals, asyncio.timeout(86_400):
            return await approvals
    except TimeoutError:
        return False
