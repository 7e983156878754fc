"""The agent of the examples, tested with its model stubbed."""

from __future__ import annotations

from examples.agent import agent
from examples.agent.model import Message, Thought, ToolCall
from holdfast.testing import Environment

REFUND = ToolCall(tool="refund", arguments={"order": "7", "cents": 4200})


def thinking_of(*wants: ToolCall) -> object:
    """A model that wants these tools once and is then content."""

    async def think(conversation: list[Message], words: object) -> Thought:
        if conversation[-1].by == "person":
            return Thought(said="Let me see.", wants=list(wants))
        return Thought(said=f"I read: {conversation[-1].text}")

    return think


async def test_tools_are_used_at_once_and_what_they_said_is_read() -> None:
    async with Environment(crash="everywhere") as env:
        run = await env.client.start(agent.converse, "weather in Oslo and the weather in Rome", id="talk")
        await env.advance("1s")
        await env.client.resume("talk:person", "")
        said = [it.text for it in await run.result()]
        assert said[2:] == ["rain in Oslo", "rain in Rome", "Done: rain in Oslo; rain in Rome."]
        words = [it async for it in run.stream("words", type=str, mode="final")]
        assert "".join(words).split() == ["Let", "me", "see.", "Done:", "rain", "in", "Oslo;", "rain", "in", "Rome."]


async def test_what_cannot_be_undone_waits_for_a_person() -> None:
    async with Environment() as env:
        env.stub(agent.think, calling=thinking_of(REFUND))
        paid = env.stub(agent.refund, returning="paid back")
        run = await env.client.start(agent.converse, "refund, please", id="talk")
        await env.advance("6h")
        (asked,) = (await run.describe()).open_hooks
        assert ("refund" in asked.metadata.text, paid.call_count) == (True, 0)
        await env.client.resume(asked.token, True)
        await env.advance("1s")
        await env.client.resume("talk:person", "")
        assert [it.text for it in await run.result()][-1] == "I read: paid back"
        assert paid.call_count == 1


async def test_nobody_answering_for_a_day_is_a_no() -> None:
    async with Environment() as env:
        env.stub(agent.think, calling=thinking_of(REFUND))
        paid = env.stub(agent.refund, returning="paid back")
        run = await env.client.start(agent.converse, "refund, please", id="talk")
        await env.advance("25h")
        await env.client.resume("talk:person", "")
        assert [it.text for it in await run.result()][-1] == "I read: refund was refused by a person"
        assert paid.call_count == 0


async def test_a_tool_that_fails_or_does_not_exist_is_told_to_the_model() -> None:
    wants = (ToolCall(tool="weather", arguments={"city": "Oslo"}), ToolCall(tool="moon", arguments={}))
    async with Environment() as env:
        env.stub(agent.think, calling=thinking_of(*wants))
        env.stub(agent.weather, raising=ConnectionError("no sky"))
        run = await env.client.start(agent.converse, "tell me", id="talk")
        await env.advance("1m")
        await env.client.resume("talk:person", "")
        told = [it.text for it in await run.result() if it.by == "tool"]
        assert "weather did not work" in told[0] and "no sky" in told[0]
        assert told[1] == "there is no tool moon"
