"""Replay is silent: what a workflow logs is let out once, and nothing else is written at all."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from holdfast import step, workflow
from runtime_service.replay.instance import Instance
from tests.replay.rehearsal import Rehearsal, definition


@step(name="silence.work")
async def work(n: int) -> int:
    return n


@workflow(name="silence.logging")
async def talking() -> None:
    log = logging.getLogger("workflow")
    log.warning("before")
    await work(1)
    log.warning("after")


def test_log_lines_of_a_workflow_are_not_repeated_by_a_replay(caplog: pytest.LogCaptureFixture) -> None:
    run = Rehearsal(talking)
    run.settle()
    run.complete("step_silence.work#1")
    run.settle()
    assert [it.message for it in caplog.records] == ["before", "after"]
    again = Instance(definition(talking), "run_1")
    for it in run.log.events:
        again.deliver(it, is_replayed=True)
    assert len(caplog.records) == 2
    logging.getLogger("service").warning("the service still speaks")
    assert len(caplog.records) == 3


def test_errors_that_nobody_retrieves_are_not_printed(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    @workflow(name="silence.failing")
    async def failing() -> None:
        async def fails() -> None:
            raise ValueError("nobody looks")

        asyncio.create_task(fails())  # noqa: RUF006
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await work(1)

    run = Rehearsal(failing)
    gc.collect()
    run.settle()
    run.complete("step_silence.work#1")
    run.settle()
    del run
    gc.collect()
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
