"""The promises of `crash="everywhere"`: one crash at every moment, and the same end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from holdfast import RunFailed, step, step_info, workflow
from holdfast.testing import CrashMismatch, Environment
from tests.testing import workflows_under_test as under_test
from tests.testing.workflows_under_test import Order

ORDER = Order(id="7", cents=4200)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

#: Bodies of `counted` that were run, by run; the test clears it.
STARTS: list[int] = []


@step
async def counted() -> str:
    STARTS.append(step_info().attempt)
    return "counted"


@workflow
async def counting() -> str:
    return await counted()


@step
async def impure() -> int:
    STARTS.append(step_info().attempt)
    return len(STARTS)


@workflow
async def depends_on_repeats() -> int:
    return await impure()


async def test_a_run_ends_the_same_wherever_its_process_dies() -> None:
    async with Environment(crash="everywhere", start_time=NEW_YEAR) as env:
        result = await env.run(under_test.everything, ORDER)
    assert result["at"] == "2026-01-01T02:00:00Z"


async def test_each_moment_has_its_crash_and_lost_bodies_run_again() -> None:
    STARTS.clear()
    async with Environment(crash="everywhere") as env:
        assert await env.run(counting, id="run_c") == "counted"
        assert [event.WhichOneof("attributes") for event in env.history("run_c")] == [
            "run_created",
            "run_started",
            "step_created",
            "step_started",
            "step_completed",
            "run_completed",
        ]
    # Two writes, so four crashes. The first attempt runs undisturbed twice (to begin with, and when no moment is left),
    # and in all crashes but the one right after its start was recorded; the second attempt in the two crashes between
    # the record of the start and that of the result.
    assert (STARTS.count(1), STARTS.count(2)) == (2 + 3, 2)


async def test_a_start_lost_to_a_crash_uses_up_no_attempt() -> None:
    async with Environment(crash="everywhere") as env:
        assert await env.run(under_test.once) == "a:done"
        env.stub(under_test.ship, raising=ConnectionError("down"))
        with pytest.raises(RunFailed, match="down"):
            await env.run(under_test.shipping, ORDER)


async def test_branches_that_run_beside_each_other_survive_together() -> None:
    async with Environment(crash="everywhere") as env:
        assert await env.run(under_test.wide, 5) == [f"n{number}:done" for number in range(5)]


async def test_what_came_from_outside_comes_again_to_each_crashed_run() -> None:
    async with Environment(crash="everywhere", start_time=NEW_YEAR) as env:
        waiting = asyncio.create_task(env.run(under_test.approval_without_end, "order:7"))
        await env.advance("10m")
        await env.client.resume("order:7", "one")
        await env.advance("10m")
        await env.client.resume("order:7", "two")
        assert await waiting == "onetwo"


async def test_a_run_that_ends_otherwise_is_told_with_the_place_of_the_crash() -> None:
    STARTS.clear()
    async with Environment(crash="everywhere") as env:
        with pytest.raises(CrashMismatch, match="expected result '1', found result '2'") as caught:
            await env.run(depends_on_repeats)
    assert "run_started" in caught.value.where


async def test_a_run_of_the_client_is_crashed_when_its_result_is_awaited() -> None:
    STARTS.clear()
    async with Environment(crash="everywhere") as env:
        run = await env.client.start(depends_on_repeats)
        with pytest.raises(CrashMismatch, match="expected result '1', found result '2'"):
            await run.result()
        assert await run.result() == 1


async def test_a_run_that_nobody_waited_for_is_crashed_when_the_environment_closes() -> None:
    STARTS.clear()
    with pytest.raises(CrashMismatch):
        async with Environment(crash="everywhere") as env:
            run = await env.client.start(depends_on_repeats)
            async for _ in run.events():
                pass


async def test_what_the_test_sends_to_a_run_of_the_client_comes_again() -> None:
    async with Environment(crash="everywhere", start_time=NEW_YEAR) as env:
        run = await env.client.start(under_test.approval_without_end, "order:7")
        await env.advance("10m")
        await env.client.resume("order:7", "one")
        await env.client.resume("order:7", "two")
        assert await run.result() == "onetwo"


async def test_calls_of_stubs_are_those_of_the_run_that_was_not_crashed() -> None:
    async with Environment(crash="everywhere") as env:
        stub = env.stub(under_test.only_once, returning="stubbed")
        assert await env.run(under_test.once) == "stubbed"
        assert stub.call_count == 1
