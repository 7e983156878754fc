"""A scheduler that is itself a workflow: it starts another one again and again, for years, and is steered by a hook.

Each start is a child run whose id is made of the schedule's name and the time it was due, so no occasion is served
twice, whatever crashes. After a month of occasions the schedule starts itself anew and returns, so that no log
grows for ever. Times of day are local: "every day at 2:30" is what people mean, in summer and in winter.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from holdfast import Hook, RunExists, hook, now, run_info, set_attributes, start, step, workflow

#: Occasions after which a schedule starts itself anew.
GENERATION = 31


class Every(BaseModel):
    """At regular intervals, counted from 1970: two schedules of an hour are due together."""

    every: timedelta = Field(gt=timedelta(0))

    def after(self, moment: datetime) -> datetime:
        """Return the next time that is due."""
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return epoch + ((moment - epoch) // self.every + 1) * self.every


class Daily(BaseModel):
    """At a time of day in a place. One that the clocks skip in spring is served an hour later, none is served twice."""

    at: time
    zone: str = "UTC"

    def after(self, moment: datetime) -> datetime:
        """Return the next time that is due."""
        here = moment.astimezone(ZoneInfo(self.zone))
        due = datetime.combine(here.date(), self.at, here.tzinfo)
        while due.astimezone(UTC) <= moment:
            due = datetime.combine(due.date() + timedelta(days=1), self.at, here.tzinfo)
        return due.astimezone(UTC)


class Plan(BaseModel):
    """What to start, and when. ``after`` is the last occasion that was served, by default the start of the schedule."""

    name: str = Field(pattern=r"[A-Za-z0-9-]{1,40}")
    workflow: str
    when: Every | Daily
    is_paused: bool = False
    after: datetime | None = None


class Change(BaseModel):
    """What a person may tell a schedule, by ``holdfast resume schedule:NAME --data '{"pause": true}'``."""

    pause: bool | None = None
    when: Every | Daily | None = None
    stop: bool = False


@step
async def report(due: datetime) -> str:
    """Do the work of one occasion."""
    return f"the report of {due:%d %B %Y, %H:%M}"


@workflow(name="schedule.report")
async def nightly_report(due: datetime) -> str:
    """What is scheduled here: any workflow that takes the time it was due."""
    return await report(due)


@workflow(name="schedule")
async def schedule(plan: Plan) -> str:
    """Start ``plan.workflow`` whenever it is due, until told to stop."""
    plan.after = plan.after or run_info().started_at
    async with hook(Change, token=f"schedule:{plan.name}") as changes:
        for _ in range(GENERATION):
            due = plan.when.after(plan.after)
            await set_attributes(next=due.isoformat(timespec="minutes"))
            change = await _change_before(changes, due)
            if change is not None and change.stop:
                return "stopped"
            if change is not None:
                plan.is_paused = plan.is_paused if change.pause is None else change.pause
                plan.when = change.when or plan.when
                continue
            if not plan.is_paused:
                await _serve(plan, due)
            # Occasions that passed meanwhile, while nothing ran, are not made up for: one late report is enough.
            plan.after = max(due, now())
    await start(schedule, plan)
    return "goes on"


async def _change_before(changes: Hook[Change], due: datetime) -> Change | None:
    """Wait for a change, until something is due; None when it is."""
    try:
        async with asyncio.timeout(max(0.0, (due - now()).total_seconds())):
            return await changes
    except TimeoutError:
        return None


async def _serve(plan: Plan, due: datetime) -> None:
    """Start the run of one occasion. It lives on by itself: a slow report delays no other."""
    try:
        await start(plan.workflow, due.isoformat(), id=f"{plan.name}-{due:%Y%m%dT%H%M%S}")
    except RunExists:
        # A person started it by hand, or another schedule of this name did: it is served.
        return
