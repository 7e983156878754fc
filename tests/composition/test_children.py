"""Child runs: started once, awaited without holding anything, their ends told with their causes."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from holdfast import Client, HookNotFound, NotReady, NotRegistered, RunFailed, StepFailed, WrongContext, start
from holdfast.v1 import store_service_pb2
from runtime_service.server import RunningRuntime
from tests.composition import family
from tests.support.runtime import running_runtime
from tests.support.store import Store
from tests.worker.interference import log_of, names


async def until_open(client: Client, token: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await client.hook(token)
                return
            except HookNotFound:
                await asyncio.sleep(0.01)


async def until_let_go(runtime: RunningRuntime) -> None:
    async with asyncio.timeout(20):
        while runtime.worker.active_replays:  # noqa: ASYNC110 - the worker has no event for it, and needs none
            await asyncio.sleep(0.02)


async def test_a_tree_of_child_runs_completes_with_one_slot(store: Store) -> None:
    """25 runs, most of which wait for others: a parent that waits holds no slot (hazard 28)."""
    serving = running_runtime(store.address, *family.ALL, concurrency=1, linger_ms=0)
    async with serving as runtime, Client(runtime.address) as client:
        run = await client.start(family.fib, 6)
        assert await run.result("60s") == 8
        assert len([it async for it in client.runs(workflow=family.fib)]) == 25


async def test_a_replay_from_the_start_at_every_turn_starts_no_child_twice(store: Store) -> None:
    serving = running_runtime(store.address, *family.ALL, replay_always=True, linger_ms=0)
    async with serving as runtime, Client(runtime.address) as client:
        assert await (await client.start(family.fib, 4)).result("60s") == 3
        assert len([it async for it in client.runs()]) == 9


async def test_a_start_whose_answer_was_lost_starts_no_second_child(
    client: Client, runtime: RunningRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await client.start(family.between, start_at=datetime.now(UTC) + timedelta(milliseconds=200))
    real, lost = runtime.worker.store.create, []

    async def create(request: store_service_pb2.CreateEventRequest) -> store_service_pb2.CreateEventResponse:
        answer = await real(request)
        if not lost:
            lost.append(request.run_id)
            raise NotReady("the answer got lost")
        return answer

    monkeypatch.setattr(runtime.worker.store, "create", create)
    ((child_id, parent_id, _),) = await run.result("30s")
    assert (lost, parent_id) == ([child_id], run.id)
    assert {it.run_id async for it in client.runs()} == {run.id, child_id}


async def test_a_child_knows_its_parent_and_the_first_of_the_chain(client: Client) -> None:
    top = await client.start(family.parent, {"colour": "blue"})
    child, grandchild = await top.result("20s")
    assert child == [f"{top.id}.child", top.id, top.id]
    assert grandchild[2] == top.id
    middle = grandchild[1]
    assert middle not in (None, top.id)
    assert (await client.run(str(middle)).describe()).run.parent_run_id == top.id
    assert await (await client.start(family.info, id="alone")).result("20s") == ["alone", None, None]
    assert [run.run_id async for run in client.runs(attributes={"colour": "blue"})] == [child[0]]


async def test_a_workflow_that_is_awaited_directly_is_part_of_the_same_run(client: Client, store: Store) -> None:
    run = await client.start(family.inline, 2)
    assert await run.result("20s") == 6
    assert family.DONE == ["added 2", "added 2"]
    assert names(await log_of(store, run.id)).count("step_created") == 2
    assert [it.run_id async for it in client.runs()] == [run.id]


async def test_a_hundred_generations_keep_small_logs_and_one_root(client: Client, store: Store) -> None:
    await client.start(family.generation, 100, id="generation-100")
    async with asyncio.timeout(60):
        while "0" not in family.DONE:  # noqa: ASYNC110 - nobody awaits the last of them, that is the point
            await asyncio.sleep(0.02)
    assert await client.run("generation-0").result("20s") == 0
    runs = [run async for run in client.runs(workflow=family.generation)]
    assert len(runs) == 101
    assert max(run.guard.head_seq for run in runs) <= 9
    assert {run.root_run_id for run in runs if run.parent_run_id} == {"generation-100"}
    assert {run.run_id: run.parent_run_id for run in runs}["generation-41"] == "generation-42"


async def test_a_failed_child_is_told_with_its_causes(client: Client) -> None:
    assert await (await client.start(family.catches)).result("20s") == [True, "holdfast.StepFailed", "Declined"]
    with pytest.raises(RunFailed) as failed:
        await (await client.start(family.passes_on)).result("20s")
    child = failed.value.__cause__
    assert isinstance(child, RunFailed)
    assert child.run_id != failed.value.run_id
    assert isinstance(child.__cause__, StepFailed)
    assert isinstance(child.__cause__.__cause__, family.Declined)
    assert str(child.__cause__.__cause__) == "no money"


async def test_a_parent_that_was_let_go_is_woken_by_the_end_of_its_child(
    client: Client, runtime: RunningRuntime, store: Store
) -> None:
    run = await client.start(family.both, ["one", "two"])
    await until_open(client, "one")
    await until_open(client, "two")
    await until_let_go(runtime)
    await client.resume("two", "second")
    await until_let_go(runtime)
    assert await run.status() == "running"
    await client.resume("one", "first")
    assert await run.result("20s") == ["first", "second"]
    kinds = Counter(names(await log_of(store, run.id)))
    assert kinds["step_created"] == kinds["step_started"] == kinds["step_completed"] == 4


async def test_a_child_ended_by_another_runtime_wakes_its_parent(store: Store) -> None:
    """The parent is held here, its child elsewhere: the watch tells the one about the other."""
    async with running_runtime(store.address, *family.ALL, linger_ms=60_000) as here, Client(here.address) as client:
        run = await client.start(family.both, ["far"])
        await until_open(client, "far")
        child = next(it.run_id for it in [it async for it in client.runs(workflow=family.waits)])
        async with running_runtime(store.address, *family.ALL) as there, Client(there.address) as other:
            await other.run(child).cancel("from afar", force=True)
            with pytest.raises(RunFailed) as failed:
                await run.result("20s")
        assert failed.value.failure.type == "holdfast.RunCancelled"


async def test_the_loser_of_a_race_between_children_lives_on(client: Client) -> None:
    run = await client.start(family.first, ["fast", "slow"])
    await until_open(client, "fast")
    await until_open(client, "slow")
    await client.resume("fast", "won")
    assert await run.result("20s") == "won"
    assert await client.run("racer-slow").status() == "running"


async def test_a_handle_steers_its_child_and_every_answer_is_recorded(client: Client) -> None:
    run = await client.start(family.steers, "steered")
    assert await run.result("20s") == [True, True, "not needed", "cancelled", False]


async def test_a_taken_id_is_told_or_used_as_asked(client: Client) -> None:
    assert await (await client.start(family.twins, "use_existing")).result("20s") == "same True"
    assert await (await client.start(family.twins, "fail")).result("20s") == "exists twin-fail"


async def test_a_workflow_that_nobody_has_is_told_at_the_start(client: Client) -> None:
    with pytest.raises(RunFailed) as failed:
        await (await client.start(family.unknown)).result("20s")
    assert isinstance(failed.value.__cause__, NotRegistered)
    assert "family.nobody" in str(failed.value.__cause__)


async def test_start_belongs_to_workflow_bodies(client: Client) -> None:
    with pytest.raises(WrongContext, match=r"client\.start"):
        start(family.info)
    with pytest.raises(RunFailed) as failed:
        await (await client.start(family.misplaced)).result("20s")
    cause = failed.value.__cause__
    assert cause is not None
    assert isinstance(cause.__cause__, WrongContext)
    assert "use a Client" in str(cause.__cause__)
