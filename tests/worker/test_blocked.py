"""A run that its code cannot go on with is set aside: nothing fails, nothing is written, and fixed code goes on."""

from __future__ import annotations

import asyncio

from holdfast import Client, step, workflow
from holdfast.definitions import Registry
from tests.support.runtime import running_runtime
from tests.support.store import Store
from tests.worker import workflows_for_worker as workflows
from tests.worker.interference import log_of, names
from tests.worker.test_runs import until_open


@step(name="worker-another")
async def another() -> str:
    return "another"


def changed_listens() -> object:
    """The workflow "listens" as somebody changed it: a step where the hook was."""

    async def listens(token: str) -> str:
        return await another()

    return workflow(name="worker-listens changed for the test")(listens)


async def describe(client: Client, run_id: str) -> str:
    """Wait until the run is set aside; returns the reason."""
    async with asyncio.timeout(10):
        while True:
            described = await client.run(run_id).describe()
            if described.HasField("last_replay_failure"):
                return described.last_replay_failure.message
            await asyncio.sleep(0.02)


async def start_and_leave(store: Store) -> str:
    """Start a run that waits, with a runtime that goes away."""
    async with running_runtime(store.address, *workflows.ALL) as runtime, Client(runtime.address) as client:
        run = await client.start("worker-listens", "t")
        await until_open(client, "t")
    return run.id


async def test_changed_code_parks_the_run_with_the_reason_and_fixed_code_ends_it(store: Store) -> None:
    run_id = await start_and_leave(store)
    before = names(await log_of(store, run_id))
    async with running_runtime(store.address, another) as runtime, Client(runtime.address) as client:
        _register_as(runtime.worker.registry, changed_listens(), "worker-listens")
        await client.run(run_id).wake()
        reason = await describe(client, run_id)
        assert "hook" in reason and "test_blocked.py" in reason
        assert await client.run(run_id).status() == "running"
    assert names(await log_of(store, run_id)) == before, "a diverged replay writes nothing"
    async with running_runtime(store.address, *workflows.ALL) as runtime, Client(runtime.address) as client:
        await client.run(run_id).wake()
        await client.resume("t", "yes")
        assert await client.run(run_id).result(timeout="15s") == "got yes"


async def test_a_run_of_an_unknown_workflow_waits_for_a_runtime_that_knows_it(store: Store) -> None:
    run_id = await start_and_leave(store)
    async with running_runtime(store.address, another) as runtime, Client(runtime.address) as client:
        await client.run(run_id).wake()
        assert "worker-listens" in await describe(client, run_id)
        assert await client.run(run_id).status() == "running"
    async with running_runtime(store.address, *workflows.ALL) as runtime, Client(runtime.address) as client:
        await client.run(run_id).wake()
        await client.resume("t", "at last")
        assert await client.run(run_id).result(timeout="15s") == "got at last"


def _register_as(registry: Registry, decorated: object, name: str) -> None:
    import dataclasses

    from holdfast.definitions import definition_of

    definition = definition_of(decorated)
    assert definition is not None
    registry.add(dataclasses.replace(definition, name=name))
