"""Streams and child runs in an environment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.testing import Environment
from tests.testing import workflows_under_test as under_test

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_stream_is_read_while_time_goes_on() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        run = await env.client.start(under_test.talking, ["one", "two"])
        assert [word async for word in run.stream("words", type=str)] == ["one", "two"]
        assert await run.result() == 2
        assert env.now == NEW_YEAR + timedelta(hours=1)


@pytest.mark.parametrize("crash", [None, "everywhere"])
async def test_a_parent_waits_for_its_children(crash: str | None) -> None:
    async with Environment(start_time=NEW_YEAR, crash=crash) as env:
        assert await env.run(under_test.parent) == ["a:done", "b:done"]
        assert env.now == NEW_YEAR + timedelta(days=1)


async def test_a_follower_does_not_carry_time_beyond_an_advance() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        run = await env.client.start(under_test.ticking, 5)
        seen = []

        async def follow() -> None:
            async for event in run.events():
                seen.append(event)

        following = asyncio.create_task(follow())
        await env.advance("2h")
        assert sum(event.HasField("step_completed") for event in seen) == 2
        await run.result()
        await following
        assert sum(event.HasField("step_completed") for event in seen) == 5
