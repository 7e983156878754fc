"""The runtime's calls go over one session; without one everything works all the same, call by call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from holdfast import Client, step, workflow
from holdfast.errors import NotReady, RunNotFound
from holdfast.v1 import session_service_pb2, session_service_pb2_grpc, store_service_pb2
from runtime_service.session import ARMS, Session
from runtime_service.store import Store as RuntimeStore
from tests.support.runtime import running_runtime
from tests.support.store import DEADLINE_SECONDS, Store, create_run, running_store


@step
async def add_for_session(left: int, right: int) -> int:
    return left + right


@workflow
async def sums_for_session(count: int) -> int:
    total = 0
    for number in range(count):
        total = await add_for_session(total, number)
    return total


async def opened(store: RuntimeStore) -> None:
    store.open_session()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not store.has_session:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


@asynccontextmanager
async def store_with_session(address: str, **options: Any) -> AsyncIterator[RuntimeStore]:
    store = RuntimeStore(address, **options)
    try:
        await opened(store)
        yield store
    finally:
        await store.close()


def test_each_kind_of_call_knows_its_arm() -> None:
    fields = session_service_pb2.SessionCall.DESCRIPTOR.oneofs_by_name["request"].fields
    assert {kind.DESCRIPTOR.name: arm for kind, arm in ARMS.items()} == {it.message_type.name: it.name for it in fields}


async def test_answers_and_typed_errors_come_over_the_session(store: Store) -> None:
    run = (await create_run(store.client)).run
    async with store_with_session(store.address) as runtime:
        found = await runtime.call(runtime.events.GetRun, store_service_pb2.GetRunRequest(run_id=run.run_id))
        assert found.run.run_id == run.run_id
        with pytest.raises(RunNotFound) as refused:
            await runtime.call(runtime.events.GetRun, store_service_pb2.GetRunRequest(run_id="run_nowhere"))
        assert refused.value.metadata["run_id"] == "run_nowhere"


@pytest.mark.parametrize("session", [True, False])
async def test_runs_end_the_same_with_and_without_a_session(store: Store, session: bool) -> None:
    async with (
        running_runtime(store.address, sums_for_session, add_for_session, session=session) as runtime,
        Client(runtime.address) as client,
    ):
        if session:
            await opened(runtime.worker.store)
        assert runtime.worker.store.has_session is session
        runs = await asyncio.gather(*(client.start(sums_for_session, 10) for _ in range(20)))
        assert await asyncio.gather(*(run.result(timeout="20s") for run in runs)) == [45] * 20


async def test_a_restarted_store_gets_a_new_session_and_nothing_is_lost(tmp_path: Path) -> None:
    async with running_store(tmp_path / "store.db") as first:
        runtime = RuntimeStore(first.address)
        await opened(runtime)
        await runtime.create(_new_run("run_before"))
        port = int(first.address.rpartition(":")[2])
    async with running_store(tmp_path / "store.db", listen=f"127.0.0.1:{port}") as again:
        await runtime.create(_new_run("run_after"))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not runtime.has_session:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.005)
        for run_id in ("run_before", "run_after"):
            assert (await again.client.events.GetRun(store_service_pb2.GetRunRequest(run_id=run_id))).run.run_id
        await runtime.close()


class SilentStore(session_service_pb2_grpc.SessionServiceServicer):
    """Opens sessions and answers nothing; ``hangs_up`` ends each after its first call."""

    def __init__(self, *, hangs_up: bool) -> None:
        self.hangs_up = hangs_up
        self.calls = 0

    async def OpenSession(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        yield session_service_pb2.OpenSessionResponse(opened=session_service_pb2.SessionOpened())
        async for message in requests:
            self.calls += len(message.calls)
            if self.hangs_up:
                return


@asynccontextmanager
async def silent_store(*, hangs_up: bool) -> AsyncIterator[tuple[Session, SilentStore]]:
    server = grpc.aio.server()
    silent = SilentStore(hangs_up=hangs_up)
    session_service_pb2_grpc.add_SessionServiceServicer_to_server(silent, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        session = Session(session_service_pb2_grpc.SessionServiceStub(channel).OpenSession)
        session.start()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not session.is_open:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.005)
        yield session, silent
        await session.stop()
    await server.stop(0)


async def test_a_call_whose_answer_is_lost_with_the_session_is_not_ready() -> None:
    async with silent_store(hangs_up=True) as (session, silent):
        with pytest.raises(NotReady, match="before the answer came"):
            await session.ask("get_run", store_service_pb2.GetRunRequest(run_id="run_lost"))
        assert silent.calls == 1


async def test_a_session_that_answers_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime_service.session.ANSWER_SECONDS", 0.2)
    async with silent_store(hangs_up=False) as (session, silent):
        async with asyncio.timeout(DEADLINE_SECONDS):
            with pytest.raises(NotReady):
                await session.ask("get_run", store_service_pb2.GetRunRequest(run_id="run_unanswered"))
        assert silent.calls == 1


async def test_a_store_without_sessions_is_used_call_by_call() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        session = Session(session_service_pb2_grpc.SessionServiceStub(channel).OpenSession)
        session.start()
        assert session._task is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            await session._task
        assert not session.is_open
    await server.stop(0)


def _new_run(run_id: str) -> store_service_pb2.CreateEventRequest:
    request = store_service_pb2.CreateEventRequest(run_id=run_id)
    request.event.run_created.workflow_name = "orders"
    return request
