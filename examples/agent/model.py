"""The model behind the agent, as a stream of words and wishes.

This one follows a script, so that the example needs no key and no network. Put your provider's client into
``words_of``: it runs inside a step, where everything is allowed, and what it yields is streamed as it comes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Literal

from pydantic import BaseModel


class Message(BaseModel):
    """One thing that was said."""

    by: Literal["person", "model", "tool"]
    text: str


class ToolCall(BaseModel):
    """The wish to use a tool."""

    tool: str
    arguments: dict[str, Any]


class Thought(BaseModel):
    """What the model said and what it wants done."""

    said: str
    wants: list[ToolCall] = []


async def words_of(conversation: list[Message]) -> AsyncIterator[str | ToolCall]:
    """Yield the words of the next answer, and the tools it wants."""
    last = conversation[-1]
    if last.by == "tool":
        done = [it.text for it in conversation[_last_thought(conversation) + 1 :]]
        text, wants = f"Done: {'; '.join(done)}.", list[ToolCall]()
    else:
        text, wants = _reaction(last.text)
    for word in text.split():
        yield f"{word} "
    for wish in wants:
        yield wish


def _reaction(text: str) -> tuple[str, list[ToolCall]]:
    wants = [ToolCall(tool="weather", arguments={"city": city}) for city in re.findall(r"weather in (\w+)", text)]
    if order := re.search(r"refund order (\w+)", text):
        wants.append(ToolCall(tool="refund", arguments={"order": order[1], "cents": 4200}))
    return ("Let me see." if wants else "I can tell the weather and refund orders."), wants


def _last_thought(conversation: list[Message]) -> int:
    return max(index for index, it in enumerate(conversation) if it.by == "model")
