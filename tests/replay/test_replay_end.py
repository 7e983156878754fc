"""How a run ends: value, exception, cancellation; and what never ends one."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast import (
    NotDeterministic,
    RemoteError,
    StepFailed,
    StepTimeout,
    hook,
    run_info,
    set_attributes,
    sleep,
    step,
    workflow,
)
from holdfast.v1 import event_pb2, payload_pb2
from tests.replay.rehearsal import Rehearsal, check_replays, event, json_payload, replayed, run_created

ran: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    ran.clear()


@step(name="end.work")
async def work(n: int) -> int:
    return n


def ending(run: Rehearsal) -> event_pb2.Event:
    run.settle()
    check_replays(run)
    return run.log.events[-1]


def test_a_value_ends_it_as_completed() -> None:
    @workflow(name="end.value")
    async def value(n: int) -> dict[str, int]:
        return {"n": n}

    run = Rehearsal(value, 3)
    assert ending(run).HasField("run_completed")
    assert run.result() == {"n": 3}


def test_an_exception_ends_it_as_failed_with_its_causes() -> None:
    @workflow(name="end.raising")
    async def raising() -> None:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner

    failure = ending(Rehearsal(raising)).run_failed.failure
    assert (failure.type, failure.message, failure.cause.type) == ("ValueError", "outer", "KeyError")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_an_exit_of_the_interpreter_fails_the_run_and_never_the_service(error: type[BaseException]) -> None:
    @workflow(name="end.exiting")
    async def exiting() -> None:
        await work(1)
        raise error(3)

    run = Rehearsal(exiting)
    run.settle()
    run.complete("step_end.work#1")
    assert ending(run).run_failed.failure.type == error.__name__


def test_input_that_does_not_fit_fails_the_run() -> None:
    @workflow(name="end.strict")
    async def strict(n: int) -> int:
        return n

    run = Rehearsal(strict, start=False)
    created = run_created(strict, 1)
    created.run_created.input.text = '["many"]'
    run.say(created)
    run.say(event("run_started"))
    assert "SerializationError" in ending(run).run_failed.failure.type


def test_a_result_that_cannot_be_encoded_fails_the_run() -> None:
    @workflow(name="end.unencodable")
    async def unencodable() -> int:
        return "no number"  # type: ignore[return-value]

    assert "SerializationError" in ending(Rehearsal(unencodable)).run_failed.failure.type


def test_a_step_that_failed_raises_with_its_original_as_the_cause() -> None:
    @workflow(name="end.failed_step")
    async def failed_step() -> list[Any]:
        try:
            await work(1)
        except StepFailed as failed:
            return [failed.step_name, failed.step_id, failed.attempts, repr(failed.__cause__)]
        return []

    run = Rehearsal(failed_step)
    run.settle()
    run.fail("step_end.work#1", LookupError("gone"))
    ending(run)
    assert run.result() == ["end.work", "step_end.work#1", 1, "LookupError('gone')"]


def test_a_timeout_of_a_step_has_step_timeout_as_its_cause() -> None:
    @workflow(name="end.step_timeout")
    async def step_timeout() -> str:
        try:
            await work(1)
        except StepFailed as failed:
            assert isinstance(failed.__cause__, StepTimeout)
            return failed.__cause__.kind
        return ""

    run = Rehearsal(step_timeout)
    run.settle()
    run.fail("step_end.work#1", StepTimeout("heartbeat"), category=payload_pb2.FAILURE_CATEGORY_TIMEOUT)
    ending(run)
    assert run.result() == "heartbeat"


def test_an_original_that_is_not_here_is_a_remote_error() -> None:
    @workflow(name="end.remote")
    async def remote() -> str:
        try:
            await work(1)
        except StepFailed as failed:
            assert isinstance(failed.__cause__, RemoteError)
            return failed.__cause__.type
        return ""

    run = Rehearsal(remote)
    run.settle()
    run.fail("step_end.work#1", ValueError("x"), type="billing.CardDeclined")
    ending(run)
    assert run.result() == "billing.CardDeclined"


def test_a_cancel_request_reaches_the_current_await_and_cleanup_may_await_steps() -> None:
    @workflow(name="end.cleaning")
    async def cleaning() -> None:
        try:
            await sleep(3600)
        except asyncio.CancelledError as cancelled:
            ran.append(str(cancelled))
            raise
        finally:
            await work(9)

    run = Rehearsal(cleaning)
    run.settle()
    run.say(event("run_cancel_requested", reason="changed my mind"))
    assert not run.instance.is_ended
    assert run.instance.open_waits() == {}
    run.settle()
    run.complete("step_end.work#1")
    assert ending(run).run_cancelled.reason == "changed my mind"
    assert ran[0] == "changed my mind"


def test_a_cancelled_step_is_not_wanted_any_more() -> None:
    @workflow(name="end.unwanted")
    async def unwanted() -> None:
        await work(1)

    run = Rehearsal(unwanted)
    run.settle()
    run.start_step(run.instance.open_steps()["step_end.work#1"])
    run.say(event("run_cancel_requested", reason=""))
    assert [it.is_wanted for it in run.instance.open_steps().values()] == [False]
    assert ending(run).HasField("run_cancelled")


def test_a_workflow_that_swallows_the_cancellation_completes() -> None:
    @workflow(name="end.swallowing")
    async def swallowing() -> str:
        try:
            await work(1)
        except asyncio.CancelledError:
            return "went on"
        return ""

    run = Rehearsal(swallowing)
    run.settle()
    run.say(event("run_cancel_requested", reason=""))
    ending(run)
    assert run.result() == "went on"


def test_a_cancelled_error_nobody_asked_for_fails_the_run() -> None:
    @workflow(name="end.self_cancelled")
    async def self_cancelled() -> None:
        raise asyncio.CancelledError

    assert ending(Rehearsal(self_cancelled)).HasField("run_failed")


def test_a_run_cancelled_before_it_started_runs_no_code() -> None:
    @workflow(name="end.never_started")
    async def never_started() -> None:
        ran.append("body")

    run = Rehearsal(never_started, start=False)
    run.say(run_created(never_started))
    run.say(event("run_cancel_requested", reason="early"))
    run.say(event("run_started"))
    assert ending(run).run_cancelled.reason == "early"
    assert ran == []


def test_a_run_ended_by_force_is_over_whatever_its_code_would_do() -> None:
    @workflow(name="end.forced")
    async def forced() -> None:
        try:
            await work(1)
        finally:
            ran.append("finally")

    run = Rehearsal(forced)
    run.settle()
    run.say(event("run_cancelled", reason="force"))
    assert run.instance.is_ended
    assert [it.is_wanted for it in run.instance.open_steps().values()] == [False]
    assert replayed(forced, run.log.events).is_ended
    assert ran == []


def test_tasks_left_over_are_cancelled_and_what_they_ask_for_is_dropped() -> None:
    @workflow(name="end.leftover")
    async def leftover() -> str:
        async def background() -> None:
            try:
                await work(1)
            finally:
                ran.append("finally")
                await set_attributes(too="late")
                await work(2)
                ran.append("never")

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                ran.append("generator closed")

        task = asyncio.create_task(background())
        async for _ in numbers():
            break
        await work(3)
        del task
        return "done"

    run = Rehearsal(leftover)
    run.settle()
    run.complete("step_end.work#1")
    decisions = run.settle()
    assert [it.WhichOneof("attributes") for it in decisions] == ["run_completed"]
    assert ran == ["finally", "generator closed"]
    check_replays(run)


def test_facts_after_the_end_change_nothing() -> None:
    @workflow(name="end.facts_after")
    async def facts_after() -> None:
        hook(int, token="t")
        slow = asyncio.create_task(work(1))
        await work(2)
        del slow

    run = Rehearsal(facts_after)
    run.settle()
    run.complete("step_end.work#1")
    assert run.instance.is_ended
    run.say(event("hook_received", "hook_#1", payload=json_payload(1)))
    run.say(event("step_started", "step_1/end.work#1", attempt=1))
    run.say(event("step_completed", "step_1/end.work#1", attempt=1))
    assert [it.WhichOneof("attributes") for it in run.settle()] == ["run_completed"]
    check_replays(run)


@pytest.mark.parametrize("wrapped", [False, True])
def test_not_deterministic_is_no_failure_of_the_run(wrapped: bool) -> None:
    @workflow(name="end.blocked")
    async def blocked() -> None:
        if wrapped:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(print))
        await asyncio.to_thread(print)

    for _ in range(2):
        with pytest.raises(NotDeterministic, match=r"run_in_executor\(\).*move this into a step"):
            Rehearsal(blocked)


def test_not_deterministic_in_a_task_that_nobody_awaits_surfaces_too() -> None:
    @workflow(name="end.blocked_unseen")
    async def blocked_unseen() -> None:
        asyncio.create_task(asyncio.to_thread(print))  # noqa: RUF006
        asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().stop())
        await work(1)

    with pytest.raises(NotDeterministic):
        Rehearsal(blocked_unseen)


def test_a_workflow_that_spins_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime_service.replay.loop.CALLBACKS_PER_EVENT_MAX", 1000)

    @workflow(name="end.spinning")
    async def spinning() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(NotDeterministic, match="loops without awaiting anything durable"):
        Rehearsal(spinning)


def test_run_info_says_what_the_log_says() -> None:
    @workflow(name="end.info")
    async def info() -> list[Any]:
        await set_attributes(stage="paid", old=None)
        before = run_info()
        await work(1)
        after = run_info()
        return [dict(before.attributes), dict(after.attributes), before.run_id, before.workflow_name]

    run = Rehearsal(info, start=False)
    created = run_created(info)
    created.run_created.attributes.update({"old": "1", "kept": "2"})
    run.say(created)
    run.say(event("run_started"))
    run.settle()
    run.say(event("attributes_set", set={"from": "a step"}))
    run.complete("step_end.work#1")
    ending(run)
    own = {"kept": "2", "stage": "paid"}
    assert run.result() == [own, {**own, "from": "a step"}, "run_1", "end.info"]
    assert run.instance.run_info().started_at.timestamp() * 1000 == 1_800_000_000_002


def test_the_context_of_the_service_is_not_seen() -> None:
    import contextvars

    service = contextvars.ContextVar("service", default="nothing")
    service.set("a secret of the service")

    @workflow(name="end.isolated")
    async def isolated() -> str:
        return service.get()

    run = Rehearsal(isolated)
    ending(run)
    assert run.result() == "nothing"


def test_arguments_are_copies() -> None:
    @dataclasses.dataclass
    class Order:
        items: list[int]

    @workflow(name="end.copies")
    async def copies(order: Order) -> int:
        order.items.append(1)
        return len(order.items)

    order = Order([5])
    run = Rehearsal(copies, order)
    ending(run)
    assert run.result() == 2
    assert order.items == [5]
