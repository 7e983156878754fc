"""Steps and leases (hazards 11 to 19) on real processes: who runs a step, who may write, what counts as an attempt."""

from __future__ import annotations

import time

from holdfast.v1 import event_pb2
from tests.hazards.stage import LEASE_SECONDS, Stage, eventually
from tests.storms.store_calls import Event, output


def of_kind(log: list[Event], kind: str) -> list[Event]:
    return [event for event in log if event.HasField(kind)]


async def test_a_hook_that_wakes_a_run_never_starts_its_running_step_a_second_time(stage: Stage) -> None:
    await stage.runtime()
    await stage.runtime()
    await stage.start("run_1", "step_and_hook", str(stage.folder), "token")
    await stage.marked("gated")
    await stage.calls.send("token", "value", request_id="value")
    await stage.marked("value")  # the value is worked on while the step still runs
    stage.allow()
    log = await stage.ended("run_1")
    assert output(log) == ["value", 1]
    assert [mark.split()[0] for mark in stage.marks] == ["gated", "value"]
    assert len({event.writer for event in of_kind(log, "step_started")}) == 1


async def test_the_runs_of_a_dead_runtime_go_on_within_its_lease_and_a_second(stage: Stage) -> None:
    holder = await stage.runtime()
    await stage.start("run_1", "one_step", str(stage.folder))
    await stage.marked("gated 1")
    await stage.runtime()
    await holder.kill()
    killed_at = time.monotonic()
    await stage.marked("gated 2")
    assert time.monotonic() - killed_at < LEASE_SECONDS + 1
    stage.allow()
    assert output(await stage.ended("run_1")) == 2


async def test_a_runtime_that_slept_through_its_lease_writes_nothing(stage: Stage) -> None:
    sleeper = await stage.runtime()
    await stage.start("run_1", "one_step", str(stage.folder))
    await stage.marked("gated 1")
    sleeper.freeze()
    await stage.runtime()
    await stage.marked("gated 2")  # the lease moved on, the step runs elsewhere
    before = await stage.calls.log("run_1")
    stage.allow("go-1")
    sleeper.thaw()

    async def is_fenced() -> bool:
        return "lease lost" in sleeper.log

    await eventually(is_fenced, "the sleeper did not notice that its lease is lost")
    assert await stage.calls.log("run_1") == before
    stage.allow("go-2")
    log = await stage.ended("run_1")
    assert output(log) == 2
    assert [event.step_completed.attempt for event in of_kind(log, "step_completed")] == [2]


async def test_a_step_that_blocks_the_event_loop_keeps_its_lease(stage: Stage) -> None:
    await stage.runtime()
    await stage.runtime()
    await stage.start("run_1", "blocking", str(stage.folder), 2.2 * LEASE_SECONDS)
    log = await stage.ended("run_1")
    assert output(log) == 1
    assert stage.marks == ["block"]
    assert len(of_kind(log, "step_started")) == 1


async def test_a_step_that_kills_its_process_ends_as_failed_after_its_attempts(stage: Stage) -> None:
    runtime = await stage.runtime(lease="500ms")
    await stage.start("run_1", "killing", str(stage.folder))
    for _ in range(3):
        await runtime.died.wait()
        await runtime.start()
    log = await stage.ended("run_1")
    assert output(log) == ["hazard.kill", 3]
    assert stage.marks == ["kill 1", "kill 2", "kill 3"]
    assert len(of_kind(log, "step_failed")) == 1


async def test_only_starts_count_as_attempts_and_no_delivery_or_outage_does(stage: Stage) -> None:
    await stage.runtime(linger_ms=0)
    await stage.start("run_1", "after_hook", str(stage.folder), "token")
    for number in range(5):
        await stage.calls.wake("run_1", f"extra {number}")
        await stage.calls.emptied("run_1", 10)
    await stage.calls.send("token", "value", request_id="value")
    await stage.marked("once 1")
    for _ in range(2):
        await stage.store.kill()
        await stage.store.start()
    stage.allow()
    log = await stage.ended("run_1")
    assert output(log) == 1
    assert stage.marks == ["once 1"]


async def test_a_step_that_ends_after_its_run_changes_nothing(stage: Stage) -> None:
    runtime = await stage.runtime()
    await stage.start("run_1", "one_step", str(stage.folder))
    await stage.marked("gated 1")
    cancelled = Event(run_cancelled=event_pb2.RunCancelled(reason="enough"))
    await stage.calls.append("run_1", cancelled, request_id="cancel")
    stage.allow()
    await stage.calls.emptied("run_1", 10)
    assert (await stage.calls.log("run_1"))[-1].HasField("run_cancelled")
    await stage.start("run_2", "one_step", str(stage.folder))
    assert output(await stage.ended("run_2")) == 1
    assert not runtime.died.is_set()
    assert (await stage.calls.log("run_1"))[-1].HasField("run_cancelled")
