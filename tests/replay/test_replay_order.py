"""Every order is the order of the log, and nothing depends on addresses, hash seeds or the size of a delivery."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import step, workflow
from runtime_service.replay.divergence import OutOfOrder
from tests.replay.rehearsal import Rehearsal, event, replayed, run_created


@step(name="order.work")
async def work(n: int) -> int:
    return n


@workflow(name="order.gathering")
async def gathering() -> list[int]:
    finished: list[int] = []

    async def one(n: int) -> None:
        finished.append(await work(n))

    await asyncio.gather(*(one(n) for n in range(5)))
    return finished


@workflow(name="order.completing")
async def completing() -> list[int]:
    return [await soonest for soonest in asyncio.as_completed([work(n) for n in range(8)])]


@workflow(name="order.sets")
async def sets() -> list[str]:
    tasks = [asyncio.create_task(work(n), name=f"task {n}") for n in range(20)]
    done, _ = await asyncio.wait(tasks)
    return [task.get_name() for task in done]


@workflow(name="order.gathers_in_a_set")
async def gathers_in_a_set() -> list[Any]:
    groups = [asyncio.gather(work(n), work(n + 1)) for n in range(0, 20, 2)]
    done, _ = await asyncio.wait(groups)
    return [group.result() for group in done]


@workflow(name="order.futures_in_a_set")
async def futures_in_a_set() -> list[int]:
    loop = asyncio.get_running_loop()
    futures = {loop.create_future(): n for n in range(40)}
    for future in futures:
        future.set_result(None)
    await work(1)
    return [futures[future] for future in set(futures)]


def _child_ids(run: Rehearsal) -> list[str]:
    return list(run.instance.open_steps())


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [3, 4, 1, 0, 2]])
def test_gathered_steps_complete_in_the_order_of_the_log(order: list[int]) -> None:
    run = Rehearsal(gathering)
    run.settle()
    for n in order:
        run.complete(f"step_{n + 1}/order.work#1", n)
    run.settle()
    assert run.result() == order
    assert replayed(gathering, run.log.events).is_ended


def test_bare_coroutines_of_as_completed_get_the_same_ids_every_time() -> None:
    expected = [(f"step_{n + 1}/order.work#1", f"[{n}]") for n in range(8)]
    for _ in range(20):
        run = Rehearsal(completing)
        found = [(it.step_id, it.input.text.replace(" ", "")) for it in run.instance.open_steps().values()]
        assert found == expected
        run.instance.evict()


@pytest.mark.parametrize("workflow", [sets, gathers_in_a_set, futures_in_a_set])
def test_iteration_over_a_set_of_tasks_is_the_same_in_every_replay(workflow: Any) -> None:
    results = set()
    for _ in range(5):
        clutter = [object() for _ in range(1000)]
        run = Rehearsal(workflow)
        run.settle()
        for step_id, open_step in list(run.instance.open_steps().items()):
            run.complete(step_id, int(open_step.input.text.strip("[] ")))
        run.settle()
        results.add(str(run.result()))
        del clutter
    assert len(results) == 1


def test_tasks_are_named_by_their_path_and_not_by_a_counter_of_the_process() -> None:
    @workflow(name="order.names")
    async def names() -> list[str]:
        async def name() -> str:
            task = asyncio.current_task()
            return task.get_name() if task else ""

        return list(await asyncio.gather(name(), name()))

    for _ in range(2):
        run = Rehearsal(names)
        run.settle()
        assert run.result() == ["task 1/", "task 2/"]


def test_a_branch_that_makes_one_more_call_renames_nothing_elsewhere() -> None:
    @workflow(name="order.branches")
    async def branches(extra: bool) -> None:
        async def first() -> None:
            if extra:
                await work(0)
            await work(1)

        async def second() -> None:
            await work(2)

        await asyncio.gather(first(), second())

    assert [_child_ids(Rehearsal(branches, extra)) for extra in (True, False)] == [
        ["step_1/order.work#1", "step_2/order.work#1"]
    ] * 2


def test_a_log_grows_by_the_next_seq_only() -> None:
    run = Rehearsal(gathering)
    run.settle()
    skipped = run.log.commit(event("step_started", "step_1/order.work#1", attempt=1))
    following = run.log.commit(event("step_started", "step_2/order.work#1", attempt=1))
    with pytest.raises(OutOfOrder, match=rf"event {following.seq} came after event {skipped.seq - 1}"):
        run.instance.deliver(following)
    with pytest.raises(OutOfOrder):
        run.instance.deliver(skipped)


def test_an_event_that_was_delivered_is_refused_the_second_time() -> None:
    run = Rehearsal(gathering)
    with pytest.raises(OutOfOrder):
        run.instance.deliver(run.log.events[-1])


def test_a_log_begins_with_its_creation() -> None:
    run = Rehearsal(gathering, start=False)
    with pytest.raises(OutOfOrder):
        run.say(event("run_started"))


def test_a_fact_of_our_own_counts_as_the_next_event() -> None:
    live = Rehearsal(gathering)
    live.settle()
    live.start_step(live.instance.open_steps()["step_1/order.work#1"])
    own = event("step_completed", "step_1/order.work#1", attempt=1)
    own.occur_time.FromMilliseconds(live.log.now_ms + 5)
    live.instance.deliver(own)
    live.log.commit(own)
    live.start_step(live.instance.open_steps()["step_2/order.work#1"])
    assert live.instance.position == len(live.log.events)


def test_results_do_not_depend_on_the_code_running_inside_another_loop() -> None:
    async def inside() -> list[str]:
        outer = asyncio.get_running_loop()
        me = asyncio.current_task()
        run = Rehearsal(gathering)
        assert asyncio.get_running_loop() is outer
        assert asyncio.current_task() is me
        await asyncio.sleep(0)
        return _child_ids(run)

    assert asyncio.run(inside()) == _child_ids(Rehearsal(gathering))


def test_the_first_event_of_another_run_gives_other_task_numbers() -> None:
    one, other = (Rehearsal(sets, run_id=run_id, start=False) for run_id in ("run_1", "run_2"))
    for run in (one, other):
        run.say(run_created(sets))
    assert one.instance._parts.loop.next_number() != other.instance._parts.loop.next_number()
