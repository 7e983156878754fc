"""Namespaces: for every RPC a client of one sees nothing and changes nothing of another, with the same ids in both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from google.protobuf import duration_pb2

from holdfast import dispatch
from holdfast.v1 import entity_pb2, event_pb2
from holdfast.v1 import queue_service_pb2 as queue_api
from holdfast.v1 import store_service_pb2 as api
from store_service.server import SERVICES, serve
from store_service.settings import StoreSettings
from tests.security.side_by_side import CASES, MINE, THEIRS, answers_to, dump, populate, told
from tests.support.any_rpc import methods_of
from tests.support.clocks import ManualClock
from tests.support.store import StoreClient, add, eventually
from tests.support.tokens import write_clients

INFO = api.GetStoreInfoRequest()
METHODS = {f"{it.containing_service.name}.{it.name}": it for it in methods_of(SERVICES)}


def token_in(namespace: str) -> str:
    return f"sesame-of-{namespace}-operators"


def clients_in(path: Path, *namespaces: str) -> str:
    """Write a file with a client in each namespace that may do everything."""
    listed = {
        f"operator-{name}": {"roles": ["admin"], "token": token_in(name), "namespace": name} for name in namespaces
    }
    return write_clients(path, **listed)


#: Namespaces, as fixtures name their URLs: a file each, or a schema each of one database of PostgreSQL.
NAMES = ("default", "billing", "shop", "alone")


@pytest.fixture(params=["files", "schemas"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A database for each name."""
    if request.param == "files":
        yield {name: f"sqlite:///{tmp_path}/{name}.db" for name in NAMES}
        return
    url: str = request.getfixturevalue("postgres_url")
    with psycopg.connect(url, autocommit=True) as server:
        for name in NAMES:
            server.execute(f'CREATE SCHEMA "{name}"')
        yield {name: f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}" for name in NAMES}
        for name in NAMES:
            server.execute(f'DROP SCHEMA "{name}" CASCADE')


@dataclass
class Side:
    """A store as one client finds it: what it asks with, their database, what must not be in any answer."""

    client: StoreClient
    metadata: Any
    their_receipts: Sequence[str]
    theirs: str = ""
    forbidden: tuple[str, ...] = ()


@asynccontextmanager
async def beside(folder: Path, urls: Mapping[str, str]) -> AsyncIterator[Side]:
    """The namespace billing, filled by us, beside shop, filled by them, both of one store."""
    settings = StoreSettings(
        listen="127.0.0.1:0",
        drain_seconds=1,
        database=urls["default"],
        namespaces={name: urls[name] for name in ("billing", "shop")},
        clients_file=clients_in(folder / "clients.toml", "billing", "shop"),
    )
    async with (
        await serve(settings, clock=ManualClock()) as running,
        StoreClient(running.address, token=token_in("billing")) as ours,
        StoreClient(running.address, token=token_in("shop")) as others,
    ):
        receipts = await populate(others, THEIRS)
        await populate(ours, MINE)
        metadata = (("authorization", f"Bearer {token_in('billing')}"),)
        forbidden = (THEIRS, running.namespaces["shop"].store_id)
        # Without interceptors: those of the test's client know only some kinds of calls.
        async with StoreClient(running.address) as plain:
            yield Side(plain, metadata, receipts, urls["shop"], forbidden)


@asynccontextmanager
async def alone(url: str, their_receipts: Sequence[str]) -> AsyncIterator[Side]:
    """The same content in a store that nobody else uses."""
    settings = StoreSettings(listen="127.0.0.1:0", drain_seconds=1, database=url)
    async with await serve(settings, clock=ManualClock()) as running, StoreClient(running.address) as client:
        await populate(client, MINE)
        yield Side(client, None, their_receipts)


async def leaks(side: Side, lone: Side) -> Mapping[str, str]:
    """Make every call on both sides; returns method → how it was told, or told others, of the other namespace."""
    found: dict[str, str] = {}
    for name, case in CASES.items():
        before = dump(side.theirs)
        reason, answers = await answers_to(side.client.channel, METHODS[name], case, side.their_receipts, side.metadata)
        expected, lone_answers = await answers_to(lone.client.channel, METHODS[name], case, lone.their_receipts, None)
        if dump(side.theirs) != before:
            found[name] = "changed the other namespace"
        elif any(text in str(answers) for text in side.forbidden):
            found[name] = "showed what is of the other namespace"
        elif (reason, told(answers)) != (expected, told(lone_answers)):
            found[name] = f"answered otherwise than alone: {reason} {told(answers)}\n {expected} {told(lone_answers)}"
    return found


def test_every_rpc_of_the_store_is_tried_beside_another_namespace() -> None:
    assert CASES.keys() == METHODS.keys()


async def test_every_rpc_answers_as_if_the_other_namespace_did_not_exist_and_changes_nothing_in_it(
    tmp_path: Path, urls: dict[str, str]
) -> None:
    async with beside(tmp_path, urls) as side, alone(urls["alone"], side.their_receipts) as lone:
        assert await leaks(side, lone) == {}


async def test_a_dispatch_to_the_wrong_namespace_would_be_noticed_at_every_rpc(
    tmp_path: Path, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check above is worth something: with the safeguard broken there is not one RPC that passes it."""
    async with beside(tmp_path, urls) as side, alone(urls["alone"], side.their_receipts) as lone:
        monkeypatch.setattr(dispatch.Namespaces, "_calls_of", lambda self, client: self._opened["shop"])
        assert (await leaks(side, lone)).keys() == CASES.keys()


async def test_what_is_due_is_done_in_every_namespace(tmp_path: Path) -> None:
    clock = ManualClock()
    names = ("billing", "shop")
    settings = StoreSettings(
        listen="127.0.0.1:0",
        drain_seconds=1,
        database=f"sqlite:///{tmp_path}/default.db",
        namespaces={name: f"sqlite:///{tmp_path}/{name}.db" for name in names},
        clients_file=clients_in(tmp_path / "clients.toml", *names),
    )
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(await serve(settings, clock=clock))
        reached = [StoreClient(running.address, token=token_in(name)) for name in names]
        for client in reached:
            await stack.enter_async_context(client)
            created = event_pb2.RunCreated(workflow_name="w", timeout=duration_pb2.Duration(seconds=60))
            await add(client, "run-1", event_pb2.Event(run_created=created))
            later = queue_api.NewQueueMessage(queue="jobs")
            later.deliver_time.FromMilliseconds(clock() + 60_000)
            await client.queue.Enqueue(queue_api.EnqueueRequest(message=later))
        wait = duration_pb2.Duration(seconds=20)
        receiving = queue_api.ReceiveMessagesRequest(queues=["jobs"], max_messages=1, wait=wait)
        waiting = [asyncio.ensure_future(client.queue.ReceiveMessages(receiving)) for client in reached]
        await eventually(lambda: all(running.namespaces[name].delivery.waiting for name in names))
        clock.advance(60_000)
        for answer in await asyncio.gather(*waiting):
            assert len(answer.messages) == 1
        for client in reached:
            await eventually(lambda client=client: _has_failed(client))


async def _has_failed(client: StoreClient) -> bool:
    run = (await client.events.GetRun(api.GetRunRequest(run_id="run-1"))).run
    return bool(run.status == entity_pb2.RUN_STATUS_FAILED)
