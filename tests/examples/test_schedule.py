"""The schedule of the examples: a year in a moment, and everything a person may tell it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from examples.schedule.schedule import GENERATION, Change, Daily, Every, Plan, nightly_report, schedule
from holdfast import HookNotFound
from holdfast.testing import Environment

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
HOURLY = Plan(name="report", workflow="schedule.report", when=Every(every=timedelta(hours=1)))


async def reports(env: Environment) -> list[str]:
    return sorted([it.run_id async for it in env.client.runs(workflow=nightly_report)])


async def test_every_occasion_is_served_once_over_many_generations() -> None:
    async with Environment(start_time=NEW_YEAR, replay="live") as env:
        run = await env.client.start(schedule, HOURLY, id="first")
        await env.advance(timedelta(hours=3 * GENERATION))
        served = await reports(env)
        assert served == [f"report-{NEW_YEAR + timedelta(hours=n):%Y%m%dT%H%M%S}" for n in range(1, 3 * GENERATION + 1)]
        assert await run.result() == "goes on"
        generations = [it async for it in env.client.runs(workflow=schedule)]
        assert {it.root_run_id for it in generations if it.run_id != "first"} == {"first"}
        assert max(len(env.history(it.run_id)) for it in generations) < 12 * GENERATION


async def test_a_schedule_is_paused_changed_and_stopped() -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        run = await env.client.start(schedule, HOURLY)
        await env.advance("90m")
        await env.client.resume("schedule:report", Change(pause=True))
        await env.advance("3h")
        assert len(await reports(env)) == 1
        await env.client.resume("schedule:report", Change(pause=False, when=Every(every=timedelta(hours=6))))
        await env.advance("2h")
        assert (await reports(env))[-1] == "report-20260101T060000"
        await env.client.resume("schedule:report", Change(stop=True))
        assert await run.result() == "stopped"
        with pytest.raises(HookNotFound):
            await env.client.resume("schedule:report", Change(stop=True))


def test_a_time_of_day_is_that_of_its_place_in_summer_and_in_winter() -> None:
    zone = ZoneInfo("Europe/Berlin")
    daily, due = Daily(at=time(2, 30), zone="Europe/Berlin"), datetime(2026, 1, 1, tzinfo=UTC)
    seen = []
    for _ in range(365):
        due = daily.after(due)
        seen.append(due.astimezone(zone))
    assert len({it.date() for it in seen}) == 365
    # The night in spring has no half past two.
    assert {it.time() for it in seen} == {time(2, 30), time(3, 30)}
    assert [f"{it:%d.%m.}" for it in seen if it.time() == time(3, 30)] == ["29.03."]
