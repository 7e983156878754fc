"""Every reason of the contract's error table that a store answers, over a real socket.

Each scenario prepares a store and returns the call that must be refused; the test then checks code, ErrorInfo, typed
detail and message against the table, and that nothing was written. The table of scenarios is held complete.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2

from holdfast.refusal import SPECS
from holdfast.v1 import event_pb2, payload_pb2
from holdfast.v1 import queue_service_pb2 as queue_api
from holdfast.v1 import store_service_pb2 as api
from holdfast.v1 import stream_service_pb2 as stream_api
from store_service.engines.sqlite.engine import open_sqlite
from tests.support.queue_bench import new_message
from tests.support.store import (
    Store,
    StoreClient,
    add,
    create_run,
    fingerprint,
    hook_created,
    hook_received,
    refused,
    run_completed,
    running_store,
)

#: Answered by the runtime only: the store does not know which workflows there are.
RUNTIME_ONLY = {"NOT_REGISTERED"}

RUN = "order-1"
Call = Callable[[], Awaitable[Any]]


@dataclass
class Stage:
    """What a scenario may use: a store, and a stack for what must be undone afterwards."""

    store: Store
    stack: AsyncExitStack

    @property
    def client(self) -> StoreClient:
        return self.store.client


@dataclass(frozen=True)
class Scenario:
    """``prepare`` returns the call to refuse; ``settings`` are those of the store."""

    prepare: Callable[[Stage], Awaitable[Call]]
    settings: dict[str, Any] = field(default_factory=dict)


SCENARIOS: dict[str, Scenario] = {}


def scenario(reason: str, **settings: Any) -> Callable[[Callable[[Stage], Awaitable[Call]]], None]:
    def note(prepare: Callable[[Stage], Awaitable[Call]]) -> None:
        SCENARIOS[reason] = Scenario(prepare, settings)

    return note


@scenario("INVALID_FIELD")
async def _(stage: Stage) -> Call:
    return lambda: create_run(stage.client, "not an id")


@scenario("TOO_LARGE")
async def _(stage: Stage) -> Call:
    body = payload_pb2.Payload(text='"' + "x" * (2 * 1024 * 1024) + '"')
    return lambda: create_run(stage.client, RUN, input=body)


@scenario("INVALID_CURSOR")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    return lambda: stage.client.events.ListEvents(api.ListEventsRequest(run_id=RUN, cursor="made-up"))


@scenario("RUN_NOT_FOUND")
async def _(stage: Stage) -> Call:
    return lambda: add(stage.client, "nobody", hook_created())


@scenario("ENTITY_NOT_FOUND")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    return lambda: add(stage.client, RUN, hook_received("hook_nobody"))


@scenario("RESOURCE_NOT_FOUND")
async def _(stage: Stage) -> Call:
    return lambda: stage.client.queue.GetQueue(queue_api.GetQueueRequest(queue="nobody"))


@scenario("RUN_EXISTS")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    return lambda: create_run(stage.client, RUN)


@scenario("ENTITY_EXISTS")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    await add(stage.client, RUN, hook_created(token="t"))
    return lambda: add(stage.client, RUN, hook_created(token="t"))


@scenario("HOOK_TOKEN_CONFLICT")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    await add(stage.client, RUN, hook_created(token="t"))
    other = hook_created("hook_#2", token="t", conflict_policy=event_pb2.HOOK_CONFLICT_POLICY_FAIL)
    return lambda: add(stage.client, RUN, other)


@scenario("REQUEST_ID_REUSED")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    await add(stage.client, RUN, hook_created(), request_id="once")
    return lambda: add(stage.client, RUN, hook_received(), request_id="once")


@scenario("STALE_SNAPSHOT")
async def _(stage: Stage) -> Call:
    created = await create_run(stage.client, RUN)
    await add(stage.client, RUN, hook_created())
    await add(stage.client, RUN, hook_received())
    old = created.run.guard.head_at
    return lambda: add(stage.client, RUN, run_completed(), state_updated_at=old)


@scenario("SNAPSHOT_AHEAD")
async def _(stage: Stage) -> Call:
    created = await create_run(stage.client, RUN)
    ahead = created.run.guard.head_at + 1
    return lambda: add(stage.client, RUN, run_completed(), state_updated_at=ahead)


@scenario("ILLEGAL_TRANSITION")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    await add(stage.client, RUN, hook_created())
    disposed = event_pb2.Event(correlation_id="hook_#1", hook_disposed=event_pb2.HookDisposed())
    await add(stage.client, RUN, disposed)
    return lambda: add(stage.client, RUN, hook_received())


@scenario("RUN_TERMINAL")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    await add(stage.client, RUN, run_completed())
    return lambda: add(stage.client, RUN, hook_created())


@scenario("RETRY_TOO_EARLY")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    step = "step_charge#1"
    created = event_pb2.Event(correlation_id=step, step_created=event_pb2.StepCreated(step_name="charge"))
    started = event_pb2.Event(correlation_id=step, step_started=event_pb2.StepStarted(attempt=1))
    failure = payload_pb2.Failure(type="ValueError", message="no")
    retrying = event_pb2.Event(correlation_id=step, step_retrying=event_pb2.StepRetrying(failure=failure, attempt=1))
    retrying.step_retrying.retry_time.FromMilliseconds(stage.store.running.parts.clock() + 3_600_000)
    for event in (created, started, retrying):
        await add(stage.client, RUN, event)
    again = event_pb2.Event(correlation_id=step, step_started=event_pb2.StepStarted(attempt=2))
    return lambda: add(stage.client, RUN, again)


@scenario("LEASE_LOST")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    await stage.client.queue.Enqueue(queue_api.EnqueueRequest(message=new_message()))
    answer = await stage.client.queue.ReceiveMessages(queue_api.ReceiveMessagesRequest(queues=["mail"]))
    receipt = answer.messages[0].receipt
    await stage.client.queue.NackMessages(queue_api.NackMessagesRequest(receipts=[receipt]))
    return lambda: add(stage.client, RUN, hook_created(), ack_receipts=[receipt])


@scenario("STREAM_CLOSED")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    ref = stream_api.StreamRef(run_id=RUN, name="tokens")
    await stage.client.streams.CloseStream(stream_api.CloseStreamRequest(stream=ref))
    return lambda: stage.client.streams.AppendChunks(stream_api.AppendChunksRequest(stream=ref, chunks=[b"late"]))


@scenario("CURSOR_EXPIRED")
async def _(stage: Stage) -> Call:
    watch = stage.client.events.WatchEvents(api.WatchEventsRequest(all_runs=True))
    cursor = (await watch.read()).cursor
    watch.cancel()
    await create_run(stage.client, RUN)
    await add(stage.client, RUN, run_completed())
    await stage.client.events.DeleteRuns(api.DeleteRunsRequest(run_ids=[RUN]))
    return lambda: stage.client.events.WatchEvents(api.WatchEventsRequest(all_runs=True, cursor=cursor)).read()


@scenario("WRITE_CONFLICT")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    foreign = sqlite3.connect(stage.store.database, isolation_level=None)
    stage.stack.callback(foreign.close)
    foreign.execute("BEGIN IMMEDIATE")
    stage.stack.callback(foreign.execute, "ROLLBACK")
    return lambda: add(stage.client, RUN, hook_created())


@scenario("THROTTLED", streams_max=1)
async def _(stage: Stage) -> Call:
    watch = stage.client.events.WatchEvents(api.WatchEventsRequest(all_runs=True))
    stage.stack.callback(watch.cancel)
    await watch.read()
    return lambda: stage.client.events.WatchEvents(api.WatchEventsRequest(all_runs=True)).read()


@scenario("QUOTA_EXCEEDED")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN, attributes={f"key{number}": "" for number in range(64)})
    one_more = event_pb2.Event(attributes_set=event_pb2.AttributesSet(set={"one": "more"}))
    return lambda: add(stage.client, RUN, one_more)


@scenario("NOT_READY", drain_seconds=20.0)
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    consumer = stage.client.queue.ConsumeMessages()
    stage.stack.callback(consumer.cancel)
    await consumer.write(queue_api.ConsumeMessagesRequest(open=queue_api.ConsumeOpen(queues=["mail"])))
    await consumer.read()
    draining = asyncio.create_task(stage.store.running.drain())
    assert (await consumer.read()).WhichOneof("kind") == "draining"
    assert not draining.done()
    return lambda: add(stage.client, RUN, hook_created())


@scenario("UNAUTHENTICATED", token="right")
async def _(stage: Stage) -> Call:
    stranger = await stage.stack.enter_async_context(StoreClient(stage.store.address, token="wrong"))
    return lambda: create_run(stranger, RUN)


@scenario("PERMISSION_DENIED", token="right", read_token="look")
async def _(stage: Stage) -> Call:
    reader = await stage.stack.enter_async_context(StoreClient(stage.store.address, token="look"))
    await reader.events.GetStoreInfo(api.GetStoreInfoRequest())
    return lambda: create_run(reader, RUN)


@scenario("INTERNAL")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    engine: Any = stage.store.engine
    engine.is_broken = True
    stage.stack.callback(setattr, engine, "is_broken", False)
    return lambda: add(stage.client, RUN, hook_created())


@scenario("CORRUPT_LOG")
async def _(stage: Stage) -> Call:
    await create_run(stage.client, RUN)
    with sqlite3.connect(stage.store.database) as foreign:
        foreign.execute("UPDATE events SET body = x'ff' WHERE seq = 1")
    foreign.close()
    return lambda: stage.client.events.ListEvents(api.ListEventsRequest(run_id=RUN))


class _Breakable:
    """The real engine, with a bug that can be switched on: a write fails with something that is no refusal."""

    def __init__(self, engine: Any) -> None:
        self.is_broken = False
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def write(self, unit: Any, needs: Any = None) -> Any:
        if self.is_broken:
            raise ZeroDivisionError("secret detail of a bug")
        return await self._engine.write(unit)


def test_every_reason_that_a_store_answers_has_a_scenario() -> None:
    assert set(SCENARIOS) == set(SPECS) - RUNTIME_ONLY


@pytest.mark.parametrize("reason", sorted(SCENARIOS))
async def test_the_answer_is_what_the_table_says_and_nothing_was_written(reason: str, tmp_path: Path) -> None:
    wanted, spec = SCENARIOS[reason], SPECS[reason]
    database = tmp_path / "store.db"
    engine: Any = _Breakable(await open_sqlite(str(database), busy_timeout_ms=50))
    async with running_store(database, engine=engine, **wanted.settings) as store, AsyncExitStack() as stack:
        call = await wanted.prepare(Stage(store, stack))
        before = await fingerprint(engine)
        with refused(reason) as refusal:
            await call()
        assert await fingerprint(engine) == before
    assert refusal.code.name == spec.code
    assert refusal.info.domain == "holdfast"
    assert [packed.type_url.rpartition("/")[2] for packed in refusal.status.details].count(
        error_details_pb2.ErrorInfo.DESCRIPTOR.full_name
    ) == 1
    assert refusal.status.ByteSize() < 4096
    _check_details(refusal, spec)
    _check_message(refusal)


def _check_details(refusal: Any, spec: Any) -> None:
    names = {packed.type_url.rpartition("/")[2] for packed in refusal.status.details}
    if spec.detail:
        assert spec.detail in names
    expected = {
        "NOT_FOUND": "google.rpc.ResourceInfo",
        "ALREADY_EXISTS": "google.rpc.ResourceInfo",
        "FAILED_PRECONDITION": "google.rpc.PreconditionFailure",
    }.get(spec.code)
    assert expected is None or expected in names
    if refusal.info.reason == "INVALID_FIELD":
        assert refusal.field
    if refusal.info.reason in ("RETRY_TOO_EARLY", "THROTTLED", "NOT_READY"):
        assert refusal.detail(error_details_pb2.RetryInfo) is not None


def _check_message(refusal: Any) -> None:
    """A message stands alone: a sentence, with the names it is about, and nothing of our inside."""
    assert len(refusal.message.split()) >= 4, refusal.message
    assert "Traceback" not in refusal.message and "secret" not in refusal.message
    if "run_id" in refusal.info.metadata:
        assert refusal.info.metadata["run_id"] in refusal.message
