"""What the runtime sees of an instance besides its decisions: what it asks for, when it is over, what it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from holdfast import hook, patched, sleep, step, workflow
from holdfast.context import WORKFLOW
from holdfast.definitions import WorkflowDefinition
from holdfast.v1 import event_pb2
from runtime_service.replay.instance import Instance
from tests.replay.rehearsal import Log, Rehearsal, definition, event, replayed, run_created


@step(name="instance.work")
async def work(n: int) -> int:
    return n


def arms(events: list[event_pb2.Event]) -> list[str]:
    return [it.WhichOneof("attributes") or "" for it in events]


def test_what_the_code_asks_for_is_told_with_its_line_and_not_taken() -> None:
    @workflow(name="instance.asking")
    async def asking() -> None:
        await asyncio.gather(work(1), sleep(10))

    instance = Rehearsal(asking).instance
    for _ in range(2):
        assert arms([told for told, _ in instance.pending()]) == ["step_created", "wait_created"]
        assert instance.pending()[0][1].startswith(f"{__file__}:")
    assert arms(instance.take_decisions()) == ["step_created", "wait_created"]
    assert len(instance.pending()) == 2, "taken, and not in the log yet"


def test_a_run_that_was_ended_from_outside_asks_for_nothing_any_more() -> None:
    @workflow(name="instance.asking_too_late")
    async def asking_too_late() -> None:
        await work(1)

    run = Rehearsal(asking_too_late)
    run.say(event("run_cancelled", reason="force"))
    assert run.instance.is_ended
    assert (run.instance.pending(), run.instance.take_decisions()) == ([], [])


def test_nothing_is_waited_for_after_the_end() -> None:
    @workflow(name="instance.timer_left_over")
    async def timer_left_over() -> None:
        asyncio.get_running_loop().call_later(60, print)

    run = Rehearsal(timer_left_over)
    assert run.instance.is_ended
    assert dict(run.instance.open_waits()) == {}


def test_an_evicted_instance_is_held_by_nobody() -> None:
    @workflow(name="instance.held")
    async def held() -> None:
        await work(1)

    run = Rehearsal(held)
    loop = weakref.ref(run.instance._parts.loop)
    run.instance.evict()
    del run
    gc.collect()
    assert loop() is None


def test_an_instance_that_could_not_be_made_leaves_no_error_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    behind: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", behind.append)
    # Not by pytest.raises, which keeps the frames, and so what could not be made.
    with contextlib.suppress(AttributeError):
        Instance(cast(WorkflowDefinition, object()), "run_1")
    gc.collect()
    assert behind == []


def test_async_generators_that_were_gone_through_are_let_go_of() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    @workflow(name="instance.generators")
    async def generators() -> None:
        for _ in range(20):
            async for _ in numbers():
                pass
        await work(1)

    assert len(Rehearsal(generators).instance._parts.loop.generators) <= 1


async def test_a_turn_gives_the_thread_back_as_it_was() -> None:
    @workflow(name="instance.guest")
    async def guest() -> None:
        await work(1)

    before = (asyncio.get_running_loop(), asyncio.current_task(), sys.get_asyncgen_hooks())
    Rehearsal(guest)
    assert (asyncio.get_running_loop(), asyncio.current_task(), sys.get_asyncgen_hooks()) == before


@workflow(name="instance.parent")
async def parent() -> list[str]:
    async def branch() -> str:
        return context.child_run_id()

    context = WORKFLOW.get()
    assert context is not None
    return [context.child_run_id(), context.child_run_id(), await asyncio.create_task(branch())]


def children(event_id: str = "") -> list[str]:
    log = Log()
    first = log.commit(run_created(parent))
    first.event_id = event_id or first.event_id
    log.commit(event("run_started"))
    instance = replayed(parent, log.events)
    (ended,) = instance.take_decisions()
    return cast(list[str], json.loads(ended.run_completed.output.text))


def test_child_runs_have_ids_of_their_own_that_follow_from_the_first_event() -> None:
    ids = children()
    assert len(set(ids)) == 3
    assert children() == ids
    assert not set(children("evt_another")) & set(ids)


def test_what_is_asked_after_the_end_has_one_answer_live_and_replayed() -> None:
    answers: list[bool] = []

    @workflow(name="instance.patched_in_cleanup")
    async def patched_in_cleanup() -> None:
        async def background() -> None:
            try:
                await work(1)
            finally:
                answers.append(patched("cleanup"))

        task = asyncio.create_task(background())
        await work(2)
        del task

    run = Rehearsal(patched_in_cleanup)
    run.settle()
    run.complete("step_instance.work#1")
    run.settle()
    replayed(definition(patched_in_cleanup), run.log.events)
    assert answers == [answers[0]] * 2


@pytest.mark.parametrize(
    ("kind", "origin", "answer"),
    [
        ("hook_disposed", event_pb2.EVENT_ORIGIN_REPLAY, False),
        ("hook_disposed", event_pb2.EVENT_ORIGIN_STORE, True),
        ("run_failed", event_pb2.EVENT_ORIGIN_REPLAY, False),
        ("run_failed", event_pb2.EVENT_ORIGIN_STORE, True),
        ("step_created", event_pb2.EVENT_ORIGIN_REPLAY, False),
        ("step_started", event_pb2.EVENT_ORIGIN_EXTERNAL, True),
    ],
)
def test_code_was_here_before_when_a_replay_wrote_what_comes_next(kind: str, origin: Any, answer: bool) -> None:
    answers: list[bool] = []

    @workflow(name=f"instance.patched_before_{kind}_{origin}")
    async def asking() -> None:
        answers.append(patched("new"))
        await work(1)

    log = Log()
    log.commit(run_created(asking))
    log.commit(event("run_started"))
    log.commit(event(kind, "step_instance.work#1" if kind == "step_created" else "hook_#1"), origin)
    instance = Instance(definition(asking), "run_1")
    instance.foresee(log.events)
    for told in log.events[:2]:
        instance.deliver(told)
    assert answers == [answer]
    instance.evict()


def test_nothing_that_hangs_in_its_cleanup_runs_after_the_end() -> None:
    ran: list[str] = []

    @workflow(name="instance.hangs_in_cleanup")
    async def hangs_in_cleanup() -> None:
        async def background(inbox: Any) -> None:
            try:
                await work(1)
            finally:
                await inbox
                ran.append("never")

        task = asyncio.create_task(background(hook(int)))
        await work(2)
        del task

    run = Rehearsal(hangs_in_cleanup)
    run.settle()
    run.complete("step_instance.work#1")
    run.settle()
    assert run.instance.is_ended
    run.send("hook_#1", 1)
    assert ran == []


def test_what_was_let_go_of_is_held_no_longer() -> None:
    @workflow(name="instance.abandoned")
    async def abandoned() -> None:
        await work(1)

    run = Rehearsal(abandoned)
    loop = run.instance._parts.loop
    assert loop.abandon() != []
    assert loop.abandon() == []


def test_a_wait_that_is_recorded_after_the_end_is_not_waited_for() -> None:
    """It was asked for in the turn that ended the run, so its record comes after the code has."""

    @workflow(name="instance.recorded_late")
    async def recorded_late() -> None:
        asyncio.get_running_loop().call_later(60, print)

    run = Rehearsal(recorded_late)
    assert arms(run.settle()) == ["wait_created", "run_completed"]
    assert dict(run.instance.open_waits()) == {}


def test_a_step_called_off_before_anybody_heard_of_it_leaves_no_trace() -> None:
    @workflow(name="instance.called_off")
    async def called_off() -> None:
        task = asyncio.create_task(_calling())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    async def _calling() -> None:
        await work(1)

    assert arms(Rehearsal(called_off).settle()) == ["run_completed"]


@pytest.mark.parametrize(("reason", "told"), [("too slow", "too slow"), ("", "the workflow no longer waits for it")])
def test_an_unwanted_step_is_told_why(reason: str, told: str) -> None:
    @workflow(name=f"instance.unwanted_{bool(reason)}")
    async def unwanted() -> None:
        await work(1)

    run = Rehearsal(unwanted)
    (step_now,) = run.instance.open_steps().values()
    assert replace(step_now, is_wanted=False, cancel_reason=reason).why_unwanted == told
    run.instance.evict()


def test_what_gather_returns_has_a_number_that_stays_and_can_be_waited_for() -> None:
    numbers: list[int] = []

    @workflow(name="instance.gathered")
    async def gathered() -> None:
        first, second = asyncio.gather(work(1)), asyncio.gather(work(2))
        numbers.extend((hash(first), hash(second), hash(first)))
        await asyncio.wait([first, second])

    for _ in range(2):
        Rehearsal(gathered).instance.evict()
    assert numbers[0] != numbers[1]
    assert numbers[0] == numbers[2]
    assert numbers[:3] == numbers[3:]
