"""Timers of the loop are durable waits: recorded once, fired by the log, gone without a trace when not needed."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast import now, sleep, step, workflow
from tests.replay.rehearsal import STARTED_MS, Rehearsal, check_replays, event, json_payload, replayed


@step(name="timers.work")
async def work(n: int) -> int:
    return n


@pytest.mark.parametrize("seconds", [0.001, 0.1, 1, 2.5, 86400 * 90])
def test_a_sleep_is_due_exactly_then_and_never_early(seconds: float) -> None:
    @workflow(name="timers.sleeping")
    async def sleeping() -> None:
        await asyncio.sleep(seconds)

    run = Rehearsal(sleeping)
    assert run.instance.open_waits() == {"wait_#1": run.instance.now_ms + round(seconds * 1000)}
    run.settle()
    run.fire("wait_#1")
    assert run.instance.is_ended


def test_a_fraction_of_a_millisecond_is_rounded_up() -> None:
    @workflow(name="timers.fraction")
    async def fraction() -> None:
        await asyncio.sleep(0.0001)

    run = Rehearsal(fraction)
    assert run.instance.open_waits() == {"wait_#1": run.instance.now_ms + 1}


def test_a_sleep_of_nothing_and_one_into_the_past_need_no_timer() -> None:
    @workflow(name="timers.past")
    async def past() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(-5)
        await sleep(datetime(2001, 1, 1, tzinfo=UTC))
        await sleep(0)

    run = Rehearsal(past)
    assert run.instance.is_ended
    assert [it.WhichOneof("attributes") for it in run.settle()] == ["run_completed"]


def test_a_sleep_until_a_moment_is_due_at_that_moment() -> None:
    @workflow(name="timers.until")
    async def until() -> None:
        await sleep(now() + timedelta(days=100))

    run = Rehearsal(until)
    assert run.instance.open_waits() == {"wait_#1": run.instance.now_ms + 100 * 86_400_000}


def test_the_clock_is_that_of_the_log_and_never_goes_back() -> None:
    seen: list[float] = []

    @workflow(name="timers.clock")
    async def clock() -> None:
        for n in range(3):
            await work(n)
            seen.append(now().timestamp() * 1000)

    run = Rehearsal(clock)
    for n, occurred in enumerate([5000, 3000, 9000], start=1):
        run.settle()
        run.start_step(run.instance.open_steps()[f"step_timers.work#{n}"])
        told = event("step_completed", f"step_timers.work#{n}", attempt=1, output=json_payload(n))
        told.occur_time.FromMilliseconds(STARTED_MS + occurred)
        run.say(told)
    assert seen == [STARTED_MS + 5000, STARTED_MS + 5000, STARTED_MS + 9000]
    live = list(seen)
    seen.clear()
    replayed(clock, run.log.events)
    assert seen == live


def test_a_timeout_that_was_not_needed_is_not_waited_for_any_more() -> None:
    @workflow(name="timers.not_needed")
    async def not_needed() -> None:
        async with asyncio.timeout(60):
            await work(1)
        await work(2)

    run = Rehearsal(not_needed)
    assert [it.WhichOneof("attributes") for it in run.settle()] == ["wait_created", "step_created"]
    run.complete("step_timers.work#1")
    assert run.instance.open_waits() == {}
    run.say(event("wait_completed", "wait_#1"))
    run.settle()
    run.complete("step_timers.work#2")
    run.settle()
    assert run.result() is None
    check_replays(run)


def test_a_timeout_over_before_anybody_heard_of_it_leaves_no_trace() -> None:
    @workflow(name="timers.unheard")
    async def unheard() -> None:
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        await work(1)

    run = Rehearsal(unheard)
    assert [it.WhichOneof("attributes") for it in run.settle()] == ["step_created"]
    run.complete("step_timers.work#1")
    run.settle()
    check_replays(run)


def test_a_wait_recorded_although_it_was_called_off_is_no_divergence() -> None:
    """Another replay may have taken the decision at an earlier event of the same batch."""

    @workflow(name="timers.called_off")
    async def called_off() -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        await work(1)

    run = Rehearsal(called_off)
    run.say(event("wait_created", "wait_1/#1"))
    assert run.instance.open_waits() == {}
    run.say(event("wait_completed", "wait_1/#1"))


def test_a_timer_fired_early_from_outside_ends_the_sleep() -> None:
    @workflow(name="timers.early")
    async def early() -> float:
        before = now()
        await sleep("10 days")
        return (now() - before).total_seconds()

    run = Rehearsal(early)
    run.settle()
    run.say(event("wait_completed", "wait_#1"), after_ms=2000)
    run.settle()
    assert run.result() == 2
    check_replays(run)


def test_a_rescheduled_timeout_counts_from_its_new_time() -> None:
    @workflow(name="timers.rescheduled")
    async def rescheduled() -> str:
        try:
            async with asyncio.timeout(10) as bound:
                await work(1)
                bound.reschedule(asyncio.get_running_loop().time() + 100)
                await work(2)
        except TimeoutError:
            return "timeout"
        return ""

    run = Rehearsal(rescheduled)
    run.settle()
    run.complete("step_timers.work#1")
    assert run.instance.open_waits() == {"wait_#2": run.instance.now_ms + 100_000}
    run.settle()
    run.fire("wait_#2")
    run.settle()
    assert run.result() == "timeout"
    check_replays(run)


def test_a_wait_beside_a_long_step_wins_the_race_against_it() -> None:
    @workflow(name="timers.race")
    async def race() -> str:
        try:
            await asyncio.wait_for(work(1), 5)
        except TimeoutError:
            return "timeout"
        return ""

    run = Rehearsal(race)
    run.settle()
    run.start_step(next(iter(run.instance.open_steps().values())))
    run.fire("wait_#1")
    assert [it.is_wanted for it in run.instance.open_steps().values()] == [False]
    run.settle()
    assert run.result() == "timeout"


def test_a_step_that_lost_its_race_is_not_wanted_while_the_run_goes_on() -> None:
    @workflow(name="timers.going_on")
    async def going_on() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(work(1), 5)
        await work(2)

    run = Rehearsal(going_on)
    run.settle()
    run.fire("wait_#1")
    # Python 3.12 and later run what wait_for waits for in the same task, so only the order tells the steps apart.
    first, second = run.instance.open_steps().values()
    assert (first.is_wanted, second.is_wanted) == (False, True)
    run.complete(first.step_id, 1)
    assert not run.instance.is_ended


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e15])
def test_a_timer_that_never_fires_is_refused_at_the_call(seconds: float) -> None:
    @workflow(name="timers.never")
    async def never() -> str:
        try:
            asyncio.get_running_loop().call_later(seconds, print)
        except ValueError as error:
            return str(error)
        return ""

    run = Rehearsal(never)
    run.settle()
    assert "timer" in run.result()


def _ids(run: Rehearsal) -> list[Any]:
    return list(run.instance.open_waits())


def test_waits_are_named_by_the_path_of_their_task() -> None:
    @workflow(name="timers.paths")
    async def paths() -> None:
        async def twice() -> None:
            await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))

        await asyncio.gather(twice(), asyncio.sleep(3), twice())

    assert _ids(Rehearsal(paths)) == ["wait_2/#1", "wait_1/1/#1", "wait_1/2/#1", "wait_3/1/#1", "wait_3/2/#1"]


@pytest.mark.parametrize(("beyond_ms", "is_taken"), [(0, True), (1, False)])
def test_the_last_millisecond_of_the_year_9999_is_the_last_that_a_timer_may_name(
    beyond_ms: int, is_taken: bool
) -> None:
    last_ms = int(datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC).timestamp() * 1000)

    @workflow(name=f"timers.last_{beyond_ms}")
    async def last() -> str:
        loop = asyncio.get_running_loop()
        try:
            loop.call_later((last_ms - round(loop.time() * 1000) + beyond_ms) / 1000, print)
            await sleep(1)
        except ValueError as error:
            return str(error)
        return ""

    run = Rehearsal(last)
    assert (last_ms in run.instance.open_waits().values()) is is_taken
    assert run.instance.is_ended is not is_taken
    run.instance.evict()
