"""Cancelling with and without children, many at once; running again; steps in threads that notice."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Client, RunCancelled, RunFailed, RunNotFound, StepTimeout, SyncClient, WrongContext, cancelled
from holdfast.context import WORKFLOW
from runtime_service.server import RunningRuntime
from tests.authoring.desk import Desk
from tests.composition import family


async def nested(client: Client) -> list[str]:
    """Start three generations that wait for each other; returns their ids, the oldest first, once the last sleeps."""
    run = await client.start(family.nest, 2)
    async with asyncio.timeout(20):
        while True:
            try:
                if (await client.run("nest-0").describe()).open_waits:
                    return [run.id, "nest-1", "nest-0"]
            except RunNotFound:
                pass
            await asyncio.sleep(0.01)


async def test_cancelling_a_parent_leaves_its_children_alone(client: Client) -> None:
    parent, child, grandchild = await nested(client)
    await client.run(parent).cancel("alone")
    with pytest.raises(RunCancelled):
        await client.run(parent).result("20s")
    assert [await client.run(it).status() for it in (child, grandchild)] == ["running", "running"]


@pytest.mark.parametrize("force", [False, True])
async def test_cancelling_recursively_reaches_every_run_below(client: Client, force: bool) -> None:
    ids = await nested(client)
    assert await client.run(ids[0]).cancel("all of them", force=force, recursive=True)
    for run_id in ids:
        with pytest.raises(RunCancelled, match="all of them"):
            await client.run(run_id).result("20s")


async def test_recursion_goes_through_runs_that_have_ended(client: Client) -> None:
    """A run that went on as its own child has ended; what goes on is below it."""
    ids = await nested(client)
    await client.run(ids[1]).cancel("ended", force=True)
    with pytest.raises(RunFailed):
        await client.run(ids[0]).result("20s")
    assert await client.run(ids[0]).cancel("late", recursive=True) is False
    with pytest.raises(RunCancelled, match="late"):
        await client.run(ids[2]).result("20s")


async def test_many_are_cancelled_with_an_outcome_for_each(client: Client) -> None:
    ended = await client.start(family.info)
    await ended.result("20s")
    open_runs = [(await client.start(family.waits, f"many-{number}")).id for number in range(20)]
    outcomes = await client.cancel_many([*open_runs, ended.id, "nobody", open_runs[0]], "spring cleaning")
    assert outcomes == {**dict.fromkeys(open_runs, "cancelled"), ended.id: "ended", "nobody": "not_found"}
    with pytest.raises(RunCancelled, match="spring cleaning"):
        await client.run(open_runs[-1]).result("20s")
    with pytest.raises(ValueError, match="id must be"):
        await client.cancel_many(["not an id"])


async def test_running_again_takes_the_input_and_the_attributes_of_the_start(client: Client) -> None:
    run = await client.start(family.labelled, "word", attributes={"seed": "1", "kind": "test"})
    assert await run.result("20s") == "word"
    again = await run.rerun()
    assert again.id != run.id
    assert await again.result("20s") == "word"
    created = (await anext(again.events())).run_created
    assert dict(created.attributes) == {"seed": "1", "kind": "test"}
    with pytest.raises(RunNotFound):
        await client.run("nobody").rerun()


async def test_runs_are_found_by_attributes_seeded_and_set(client: Client) -> None:
    run = await client.start(family.labelled, "word", attributes={"seed": "1", "kind": "test"})
    await run.result("20s")
    found = {"stage": "done", "kind": "test"}
    assert [it.run_id async for it in client.runs(attributes=found)] == [run.id]
    assert [it.run_id async for it in client.runs(attributes={"seed": "1"})] == []


async def test_the_client_for_plain_code_has_the_same_verbs(runtime: RunningRuntime) -> None:
    def work() -> list[object]:
        with SyncClient(runtime.address) as client:
            run = client.start(family.labelled, "word")
            word = run.rerun().result("20s")
            waiting = client.start(family.waits, "sync")
            return [word, client.cancel_many([waiting.id, "nobody"]), run.cancel(recursive=True)]

    done = await asyncio.to_thread(work)
    assert done[0] == "word"
    assert sorted(done[1].values()) == ["cancelled", "not_found"]  # type: ignore[attr-defined]
    assert done[2] is False


async def test_a_step_in_a_thread_can_see_that_it_was_called_off(client: Client) -> None:
    with pytest.raises(RunFailed) as failed:
        await (await client.start(family.polls)).result("20s")
    cause = failed.value.__cause__
    assert cause is not None
    assert isinstance(cause.__cause__, StepTimeout)
    async with asyncio.timeout(10):
        while "saw it" not in family.DONE:  # noqa: ASYNC110 - it is written by a thread
            await asyncio.sleep(0.01)


def test_cancelled_is_false_in_a_plain_call_and_refuses_workflow_bodies() -> None:
    assert cancelled() is False
    known = WORKFLOW.set(Desk())  # type: ignore[arg-type]
    try:
        with pytest.raises(WrongContext, match=r"cancelled\(\) is for steps"):
            cancelled()
    finally:
        WORKFLOW.reset(known)
