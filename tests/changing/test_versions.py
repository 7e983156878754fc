"""Versions: a run stays with the code that began it, whatever other versions are being served."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast import Client, hook, workflow
from holdfast.definitions import Registry, definition_of
from holdfast.errors import NotRegistered
from runtime_service.names import RUN_QUEUE, run_queue
from runtime_service.server import RunningRuntime, serve
from runtime_service.settings import RuntimeSettings
from runtime_service.worker.routing import queues_of, workflow_of
from tests.support.store import Store
from tests.worker.test_blocked import describe as blocked_reason
from tests.worker.test_runs import until_open


def version(number: str) -> Any:
    """The workflow "checkout" as of a version; it says which one it is."""

    @workflow(name=f"versions.checkout {number}")
    async def checkout(token: str) -> str:
        async with hook(str, token=token) as values:
            return f"version {number or 'none'} got {await values}"

    found = definition_of(checkout)
    assert found is not None
    return dataclasses.replace(found, name="versions.checkout", version=number)  # type: ignore[call-arg]


def registered(*numbers: str) -> Registry:
    registry = Registry()
    for number in numbers:
        registry.add(version(number))
    return registry


@asynccontextmanager
async def serving(store: Store, number: str) -> AsyncIterator[tuple[RunningRuntime, Client]]:
    settings = RuntimeSettings(listen="127.0.0.1:0", store=store.address, lease="2s", drain_seconds=0)
    runtime = await serve(settings, registered(number))
    try:
        async with Client(runtime.address) as client:
            yield runtime, client
    finally:
        await runtime.drain()


async def test_a_run_stays_with_its_version_while_another_one_is_served(store: Store) -> None:
    async with serving(store, "1") as (_, first), serving(store, "2") as (_, second):
        old = await first.start("versions.checkout", "old")
        new = await second.start("versions.checkout", "new")
        await until_open(first, "old")
        await until_open(first, "new")
        await second.resume("old", "a")
        await first.resume("new", "b")
        assert await first.run(old.id).result(timeout="20s") == "version 1 got a"
        assert await first.run(new.id).result(timeout="20s") == "version 2 got b"


async def test_a_run_waits_for_its_version_says_so_and_goes_on_with_it(store: Store) -> None:
    async with serving(store, "1") as (_, client):
        run = await client.start("versions.checkout", "t")
        await until_open(client, "t")
    async with serving(store, "2") as (_, client):
        await client.resume("t", "a")
        described = await client.run(run.id).describe()
        assert described.last_replay_failure.type == "NotRegistered"
        assert "version '1'" in described.last_replay_failure.message
        assert "here is version '2'" in described.last_replay_failure.message
        assert await client.run(run.id).status() == "running"
        await client.run(run.id).wake()
    async with serving(store, "1") as (_, client):
        assert await client.run(run.id).result(timeout="20s") == "version 1 got a"


async def test_a_run_that_began_before_there_were_versions_is_not_replayed_by_one(store: Store) -> None:
    async with serving(store, "") as (_, client):
        run = await client.start("versions.checkout", "t")
        await until_open(client, "t")
    async with serving(store, "2") as (_, client):
        await client.resume("t", "a")
        assert "without a version" in await blocked_reason(client, run.id)
    async with serving(store, "") as (_, client):
        assert await client.run(run.id).result(timeout="20s") == "version none got a"


async def test_a_start_may_name_a_version_that_is_served_elsewhere(store: Store) -> None:
    from holdfast.v1 import runtime_service_pb2

    async with serving(store, "1") as (_, elsewhere), serving(store, "2") as (here, _):
        request = runtime_service_pb2.StartRunRequest(workflow_name="versions.checkout", version="1")
        request.input.text = '"t"'
        from tests.support.runtime import runtime_stub

        async with runtime_stub(here.address) as stub:
            run_id = (await stub.StartRun(request)).run.run_id
        await until_open(elsewhere, "t")
        await elsewhere.resume("t", "a")
        assert await elsewhere.run(run_id).result(timeout="20s") == "version 1 got a"


def test_every_version_of_every_workflow_has_a_queue_of_its_own() -> None:
    pairs = [("a", "1"), ("a", "2"), ("b", "1"), ("A", "1"), ("a.1", ""), ("ä" * 200, "v" * 128), ("a", "1.0")]
    queues = [run_queue(name, number) for name, number in pairs]
    assert len(set(queues)) == len(queues)
    assert all(len(queue) <= 128 and queue.isascii() for queue in queues)
    assert run_queue("a", "") == RUN_QUEUE
    assert queues_of(registered("7")) == [RUN_QUEUE, run_queue("versions.checkout", "7")]


def test_the_last_check_refuses_another_version() -> None:
    assert workflow_of(registered("1"), "versions.checkout", "1").version == "1"
    with pytest.raises(NotRegistered, match=r"version '2' of workflow 'versions.checkout', and here is version '1'"):
        workflow_of(registered("1"), "versions.checkout", "2")
