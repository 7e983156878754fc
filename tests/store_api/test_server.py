"""The life of a store server: starting, health, reflection, drain, idleness, and a database that is not alone."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from holdfast.serving import CannotListen
from holdfast.v1 import event_pb2
from holdfast.v1 import queue_service_pb2 as queue_api
from holdfast.v1 import store_service_pb2 as api
from store_service import limits
from store_service.api.services import QueueService, SessionService, StoreService, StreamService
from store_service.server import SERVICES
from tests.support.clocks import ManualClock
from tests.support.queue_bench import QUEUE, new_message
from tests.support.store import (
    DEADLINE_SECONDS,
    Store,
    StoreClient,
    StoreProcess,
    add,
    create_run,
    eventually,
    hook_created,
    refused,
    running_store,
)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NAMES = ["", *(f"holdfast.v1.{name}Service" for name in ("Store", "Queue", "Stream", "Session"))]


def run_main(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "store_service", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def test_every_method_of_the_contract_is_served() -> None:
    for service, servicer in zip(SERVICES, (StoreService, QueueService, StreamService, SessionService), strict=True):
        for method in service.methods:
            found = getattr(servicer, method.name)
            assert "servicer" not in found.__qualname__.lower(), f"{method.full_name} is not served"


async def test_health_is_told_for_the_server_and_for_each_service(store: Store) -> None:
    health: Any = health_pb2_grpc.HealthStub(store.client.channel)
    for name in NAMES:
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING


async def test_reflection_lists_the_services(store: Store) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(store.client.channel)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await call.read()
    found = {service.name for service in answer.list_services_response.service}
    assert {*NAMES[1:], "grpc.health.v1.Health"} <= found
    call.cancel()


async def test_reflection_can_be_switched_off(tmp_path: Path) -> None:
    async with running_store(tmp_path / "store.db", reflection=False) as store:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(store.client.channel)
        with pytest.raises(grpc.RpcError) as caught:
            await stub.ServerReflectionInfo().read()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


async def test_the_store_tells_its_limits_and_its_id_stays(store: Store) -> None:
    info = await store.client.events.GetStoreInfo(api.GetStoreInfoRequest())
    assert (info.backend, info.limits.payload_bytes) == ("sqlite", limits.PAYLOAD_BYTES_MAX)
    assert (info.limits.batch_events, info.limits.run_events) == (limits.BATCH_EVENTS_MAX, limits.RUN_EVENTS_MAX)
    assert info.limits.request_id_window.seconds == 24 * 3600
    assert "state_seq" in info.capabilities and info.server_version
    await store.running.drain()
    async with running_store(store.database) as again:
        assert (await again.client.events.GetStoreInfo(api.GetStoreInfoRequest())).store_id == info.store_id


async def test_an_idle_store_runs_no_statement_however_many_wait_on_it(store: Store) -> None:
    await create_run(store.client, "order-1", timeout={"seconds": 3600})
    watches = [store.client.events.WatchEvents(api.WatchEventsRequest(run_id="order-1")) for _ in range(10)]
    for watch in watches:
        while (await watch.read()).WhichOneof("kind") != "caught_up":
            pass
    receive = queue_api.ReceiveMessagesRequest(queues=[QUEUE])
    receive.wait.FromSeconds(30)
    waits = [store.client.queue.ReceiveMessages(receive) for _ in range(10)]
    delivery = store.running.parts.delivery
    await eventually(lambda: delivery.waiting == 10)
    before = store.engine.statements
    # Not a wait for something: a second in which nothing must happen.
    await asyncio.sleep(1.0)
    assert store.engine.statements - before <= 1
    for call in (*watches, *waits):
        call.cancel()


async def test_a_drain_lets_open_calls_finish_refuses_new_ones_and_ends_long_polls(tmp_path: Path) -> None:
    async with running_store(tmp_path / "store.db", drain_seconds=15) as store:
        consumer = store.client.queue.ConsumeMessages()
        await consumer.write(queue_api.ConsumeMessagesRequest(open=queue_api.ConsumeOpen(queues=[QUEUE])))
        await consumer.read()
        receive = queue_api.ReceiveMessagesRequest(queues=[QUEUE])
        receive.wait.FromSeconds(60)
        polling = store.client.queue.ReceiveMessages(receive)
        await eventually(lambda: store.running.parts.delivery.waiting == 1)
        health: Any = health_pb2_grpc.HealthStub(store.client.channel)
        draining = asyncio.create_task(store.running.drain())
        assert (await consumer.read()).WhichOneof("kind") == "draining"
        assert not (await polling).messages
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
        with refused("NOT_READY"):
            await store.client.queue.Enqueue(queue_api.EnqueueRequest(message=new_message()))
        assert not draining.done()
        await consumer.done_writing()
        await draining


async def test_a_drain_waits_no_longer_than_it_may_for_a_call_that_does_not_end(tmp_path: Path) -> None:
    async with running_store(tmp_path / "store.db", drain_seconds=0.2) as store:
        consumer = store.client.queue.ConsumeMessages()
        await consumer.write(queue_api.ConsumeMessagesRequest(open=queue_api.ConsumeOpen(queues=[QUEUE])))
        await consumer.read()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await store.running.drain()


async def test_a_message_leased_to_a_stream_that_the_drain_cuts_off_is_released(tmp_path: Path) -> None:
    async with running_store(tmp_path / "store.db", drain_seconds=0.1) as store:
        await store.client.queue.Enqueue(queue_api.EnqueueRequest(message=new_message()))
        consumer = store.client.queue.ConsumeMessages()
        opening = queue_api.ConsumeOpen(queues=[QUEUE], initial_credit=1)
        await consumer.write(queue_api.ConsumeMessagesRequest(open=opening))
        while (await consumer.read()).WhichOneof("kind") != "delivery":
            pass
        await store.running.drain()
    async with running_store(store.database) as again:
        answer = await again.client.queue.ReceiveMessages(queue_api.ReceiveMessagesRequest(queues=[QUEUE]))
        assert [one.message.delivery_count for one in answer.messages] == [1]


async def test_a_run_that_timed_out_fails_when_it_is_due_and_not_before(
    clocked_store: Store, clock: ManualClock
) -> None:
    client = clocked_store.client
    await create_run(client, "order-1", timeout={"seconds": 60})
    watch = client.events.WatchEvents(api.WatchEventsRequest(run_id="order-1", stop_at_terminal=True))
    clock.advance(59_999)
    await add(client, "order-1", hook_created())
    clock.advance(1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        events = [event async for message in watch for event in message.batch.events]
    assert [event.type for event in events][-1] == event_pb2.EVENT_TYPE_RUN_FAILED
    assert events[-1].origin == event_pb2.EVENT_ORIGIN_STORE


async def test_what_fell_due_while_no_store_ran_is_written_at_the_start(tmp_path: Path, clock: ManualClock) -> None:
    async with running_store(tmp_path / "store.db", clock=clock) as store:
        await create_run(store.client, "order-1", timeout={"seconds": 60})
    clock.advance(3_600_000)
    async with running_store(tmp_path / "store.db", clock=clock) as store:
        watch = store.client.events.WatchEvents(api.WatchEventsRequest(run_id="order-1", stop_at_terminal=True))
        async with asyncio.timeout(DEADLINE_SECONDS):
            events = [event async for message in watch for event in message.batch.events]
        assert events[-1].type == event_pb2.EVENT_TYPE_RUN_FAILED


async def test_a_taken_port_is_told(store: Store, tmp_path: Path) -> None:
    from store_service.server import serve
    from store_service.settings import StoreSettings

    settings = StoreSettings(listen=store.address, database=f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(CannotListen, match=store.address):
        await serve(settings)
    # The database was let go again.
    async with running_store(tmp_path / "other.db"):
        pass


def test_a_process_that_is_told_to_stop_ends_with_0_and_leaves_a_whole_database(store_process: StoreProcess) -> None:
    store_process.terminate()
    assert store_process.wait() == 0
    assert "Traceback" not in store_process.stderr
    with sqlite3.connect(store_process.database) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_second_process_on_the_same_file_is_refused_in_one_line(store_process: StoreProcess) -> None:
    second = run_main("--listen", "127.0.0.1:0", "--database", f"sqlite:///{store_process.database}")
    assert (second.returncode, second.stdout) == (2, "")
    assert len(second.stderr.splitlines()) == 1
    assert "in use" in second.stderr and str(store_process.pid) in second.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--database", "holdfast.db"], {}, "sqlite:///"),
        (["--database", "mongodb://x"], {}, "sqlite:///"),
        (["--database", "sqlite:////no/such/directory/x.db"], {}, "does not exist"),
        (["--listen", "nowhere"], {}, "host:port"),
        (["--listen", "127.0.0.1:x"], {}, "host:port"),
        ([], {"HOLDFAST_READ_TOKEN": "sesame"}, "read token"),
        ([], {"HOLDFAST_REFLECTION": "perhaps"}, "HOLDFAST_REFLECTION"),
        (["--no-such-option"], {}, "no-such-option"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_is_wrong(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], words: str
) -> None:
    defaults = {"HOLDFAST_DATABASE": f"sqlite:///{tmp_path / 'store.db'}", "HOLDFAST_STORE_LISTEN": "127.0.0.1:0"}
    done = run_main(*arguments, **{**defaults, **environment})
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr and "sesame" not in done.stderr


def test_a_newer_database_is_refused_in_one_line(store_process: StoreProcess) -> None:
    store_process.is_audited = False
    store_process.terminate()
    store_process.wait()
    with sqlite3.connect(store_process.database) as file:
        columns = [row[1] for row in file.execute("PRAGMA table_info(schema_migrations)")]
        values = ", ".join("99" if index == 0 else "'x'" for index in range(len(columns)))
        file.execute(f"INSERT INTO schema_migrations VALUES ({values})")
    file.close()
    done = run_main("--listen", "127.0.0.1:0", "--database", f"sqlite:///{store_process.database}")
    assert done.returncode == 2 and "newer" in done.stderr and "Traceback" not in done.stderr


async def test_nothing_acknowledged_is_lost_when_the_store_is_killed(store_process: StoreProcess) -> None:
    acknowledged: list[tuple[str, int, str]] = []

    async def write(client: StoreClient, run_id: str) -> None:
        await create_run(client, run_id)
        while True:
            answer = await add(client, run_id, event_pb2.Event(attributes_set={"set": {"k": "v"}}))
            acknowledged.append((run_id, answer.event.seq, answer.event.event_id))

    for life in range(3):
        async with StoreClient(store_process.address) as client:
            writers = [asyncio.create_task(write(client, f"order-{life}-{number}")) for number in range(8)]
            await eventually(lambda: len(acknowledged) >= 100 * (life + 1))  # noqa: B023 - awaited right here
            store_process.kill()
            await asyncio.gather(*writers, return_exceptions=True)
        store_process.start()
    async with StoreClient(store_process.address) as client:
        for run_id in {run_id for run_id, _, _ in acknowledged}:
            page = await client.events.ListEvents(api.ListEventsRequest(run_id=run_id, page_size=1000))
            logged = {(event.seq, event.event_id) for event in page.events}
            assert {(seq, event_id) for owner, seq, event_id in acknowledged if owner == run_id} <= logged
            assert [event.seq for event in page.events] == list(range(1, page.head_seq + 1))
