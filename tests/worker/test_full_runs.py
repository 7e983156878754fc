"""A run with as many events as a run may have is set aside; a plain cancel still ends it, with its cleanup."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Client, step, workflow
from holdfast.errors import RunCancelled
from store_service import limits
from tests.support.runtime import running_runtime
from tests.support.store import Store
from tests.worker.interference import log_of, names
from tests.worker.test_blocked import describe


@step(name="full-count")
async def count(number: int) -> int:
    return number


@step(name="full-clean_up")
async def clean_up(reached: int) -> int:
    return reached


@workflow(name="full-endless")
async def endless() -> None:
    reached = 0
    try:
        while True:
            reached = await count(reached + 1)
    finally:
        await clean_up(reached)


async def test_a_run_that_is_full_ends_by_a_plain_cancel_after_its_cleanup(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RUN_EVENTS_MAX", 30)
    async with running_runtime(store.address, count, clean_up, endless) as runtime, Client(runtime.address) as client:
        run = await client.start(endless)
        assert "run_events" in await describe(client, run.id)
        full = names(await log_of(store, run.id))
        assert full.count("step_started") == full.count("step_completed"), "no result of a step was lost"
        await run.cancel("enough")
        with pytest.raises(RunCancelled):
            await asyncio.wait_for(run.result(), 10)
        log = await log_of(store, run.id)
    assert [it.correlation_id for it in log if it.HasField("step_completed")][-1] == "step_full-clean_up#1"
    assert names(log)[-1] == "run_cancelled"
