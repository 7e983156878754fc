"""The promises of `Environment`: both services in this process, in virtual time."""

from __future__ import annotations

import asyncio
import logging
import re
from datetime import UTC, datetime, timedelta

import pytest

from holdfast import HookNotFound, RunCancelled, RunFailed, RunNotFound
from holdfast.testing import Environment, RunStuck
from tests.testing import workflows_under_test as under_test
from tests.testing.workflows_under_test import Order

ORDER = Order(id="7", cents=4200)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


async def test_thirty_days_pass_at_once_and_exactly() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        receipt = await env.run(under_test.checkout, ORDER)
        assert receipt.charge_id == "ch_7_4200"
        assert receipt.shipped_at == NEW_YEAR + timedelta(days=30)
        assert env.now == NEW_YEAR + timedelta(days=30)


@pytest.mark.parametrize("replay", ["always", "live"])
async def test_a_run_is_the_same_whether_replayed_at_each_turn_or_kept_alive(replay: str) -> None:
    async with Environment(start_time=NEW_YEAR, replay=replay) as env:
        result = await env.run(under_test.everything, ORDER, id="run_same")
        kinds = [event.WhichOneof("attributes") for event in env.history("run_same")]
    assert result["both"] == ["a:done", "b:done"]
    assert result["at"] == "2026-01-01T02:00:00Z"
    assert kinds.count("step_completed") == 3
    assert kinds[-1] == "run_completed"


async def test_time_stands_still_until_the_test_waits_for_a_run_or_advances() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        run = await env.client.start(under_test.ticking, 3)
        await asyncio.sleep(0.01)
        assert (env.now, await run.status()) == (NEW_YEAR, "running")
        assert await run.result() == ["0:done", "1:done", "2:done"]
        assert env.now == NEW_YEAR + timedelta(hours=3)


async def test_advance_lets_happen_what_is_due_by_then_and_no_more() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        run = await env.client.start(under_test.ticking, 3)
        for hours, done in ((1, 1), (1, 2)):
            await env.advance(timedelta(hours=hours))
            kinds = [event.WhichOneof("attributes") for event in env.history(run)]
            assert kinds.count("step_completed") == done
        await env.advance("59m")
        assert await run.status() == "running"
        await env.advance(60)
        assert await run.status() == "completed"
        assert env.now == NEW_YEAR + timedelta(hours=3)


async def test_a_waiting_task_does_not_carry_time_beyond_an_advance() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        waiting = asyncio.create_task(env.run(under_test.cleaned_up))
        await env.advance("1d")
        assert not waiting.done()
        assert env.now == NEW_YEAR + timedelta(days=1)
        assert await waiting == "slept"


async def test_time_stands_still_while_a_real_step_body_runs() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def body(order: Order) -> str:
            begun.set()
            await go_on.wait()
            return "late"

        env.stub(under_test.charge, calling=body)
        slow = await env.client.start(under_test.plain, ORDER)
        sleeping = asyncio.create_task(env.run(under_test.cleaned_up))
        await begun.wait()
        await asyncio.sleep(0.05)
        assert (env.now, sleeping.done()) == (NEW_YEAR, False)
        go_on.set()
        assert await slow.result() == "late"
        assert await sleeping == "slept"


async def test_time_does_not_jump_while_another_task_of_the_test_can_run() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        waiting = asyncio.create_task(env.run(under_test.approval, "order:7"))
        for _ in range(200):
            await asyncio.sleep(0)
        await env.client.resume("order:7", "yes")
        assert await waiting == "yes"
        assert env.now == NEW_YEAR


async def test_a_timeout_in_a_workflow_fires_when_nobody_answers() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        assert await env.run(under_test.approval, "order:7") == "nobody"
        assert env.now == NEW_YEAR + timedelta(hours=1)


async def test_a_result_is_awaited_for_a_virtual_time() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        run = await env.client.start(under_test.cleaned_up)
        with pytest.raises(TimeoutError):
            await run.result(timeout="2d")
        assert env.now == NEW_YEAR + timedelta(days=2)
        assert await run.result(timeout="8d") == "slept"


async def test_events_of_a_run_can_be_followed_to_its_end() -> None:
    async with Environment() as env:
        run = await env.client.start(under_test.ticking, 2)
        followed = [event async for event in run.events()]
        assert [event.seq for event in followed] == [event.seq for event in env.history(run)]
        assert followed[-1].HasField("run_completed")


async def test_a_history_is_a_list_of_events_awaited_or_not() -> None:
    async with Environment() as env:
        await env.run(under_test.plain, ORDER, id="run_h")
        assert [event.seq for event in env.history("run_h")] == list(range(1, len(env.history("run_h")) + 1))
        assert await env.history(env.client.run("run_h")) == env.history("run_h")
        with pytest.raises(RunNotFound):
            env.history("run_nowhere")


async def test_the_client_has_everything_and_answers_as_over_the_wire() -> None:
    async with Environment() as env:
        run = await env.client.start(under_test.approval, "order:7", attributes={"customer": "42"})
        found = [it.run_id async for it in env.client.runs(attributes={"customer": "42"})]
        assert found == [run.id]
        await env.advance(0)
        assert (await env.client.hook("order:7")).run_id == run.id
        assert (await run.describe()).open_hooks[0].token == "order:7"
        with pytest.raises(HookNotFound):
            await env.client.resume("order:8", "yes")
        assert await run.cancel("no more")
        with pytest.raises(RunCancelled):
            await run.result()


async def test_a_cancelled_workflow_cleans_up() -> None:
    async with Environment() as env:
        run = await env.client.start(under_test.cleaned_up)
        await env.advance("1d")
        await run.cancel("enough")
        with pytest.raises(RunCancelled, match="enough"):
            await run.result()
        assert any(event.HasField("step_completed") for event in env.history(run))


async def test_a_step_in_a_thread_works_too() -> None:
    async with Environment() as env:
        assert await env.run(under_test.in_thread, ORDER) == "thread_7"


async def test_retries_wait_their_time_without_jitter() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        env.stub(under_test.ship, raising=ConnectionError("down"))
        with pytest.raises(RunFailed, match="down"):
            await env.run(under_test.shipping, ORDER)
        assert env.now == NEW_YEAR + timedelta(seconds=60 + 120)


async def test_a_wait_that_nothing_will_end_says_what_the_run_waits_for() -> None:
    async with Environment() as env:
        with pytest.raises(RunStuck, match=re.escape("waits for hook 'order:9'")) as caught:
            await env.run(under_test.approval_without_end, "order:9", id="run_stuck")
        assert caught.value.run_id == "run_stuck"


async def test_a_blocked_run_says_why() -> None:
    async with Environment() as env:
        with pytest.raises(RunStuck, match=r"blocked by NotDeterministic.*holdfast\.now"):
            await env.run(under_test.reaching_out)


async def test_a_workflow_logs_once_however_often_it_is_replayed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, under_test.__name__):
        async with Environment(replay="always") as env:
            await env.run(under_test.checkout, ORDER)
    assert [record.message for record in caplog.records if record.name == under_test.__name__] == ["charged ch_7_4200"]


async def test_two_environments_beside_each_other_know_nothing_of_each_other() -> None:
    async with Environment(start_time=NEW_YEAR) as one, Environment(start_time=NEW_YEAR) as other:
        results = await asyncio.gather(
            one.run(under_test.ticking, 2, id="run_x"), other.run(under_test.cleaned_up, id="run_x")
        )
        assert results == [["0:done", "1:done"], "slept"]
        assert (one.now - NEW_YEAR, other.now - NEW_YEAR) == (timedelta(hours=2), timedelta(days=10))


async def test_wrong_use_is_told_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="replay must be"):
        Environment(replay="never")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="crash must be"):
        Environment(crash="sometimes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="start_time"):
        Environment(start_time=datetime(2026, 1, 1))
    env = Environment()
    with pytest.raises(RuntimeError, match="not open"):
        await env.run(under_test.plain, ORDER)
    async with env:
        with pytest.raises(RuntimeError, match="open already"):
            await env.__aenter__()
        with pytest.raises(ValueError, match="duration"):
            await env.advance("soon")
    with pytest.raises(RuntimeError, match="not open"):
        env.history("run_x")
