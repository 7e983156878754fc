"""Bearer tokens: who may call what, and that they are told to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from holdfast.v1 import store_service_pb2 as api
from store_service.settings import StoreSettings
from tests.support.store import StoreClient, StoreProcess, create_run, refused, running_store

TOKEN, READ_TOKEN = "sesame-full", "sesame-read"


async def test_without_a_token_everybody_may_call(tmp_path: Path) -> None:
    async with running_store(tmp_path / "store.db") as store:
        await create_run(store.client, "order-1")


@pytest.mark.parametrize("sent", ["", "wrong", TOKEN + "x", TOKEN[:-1], "ß"])
async def test_a_call_without_the_right_token_is_refused_and_writes_nothing(tmp_path: Path, sent: str) -> None:
    async with running_store(tmp_path / "store.db", token=TOKEN) as store:
        metadata = [("authorization", f"Bearer {sent}".encode().decode("latin-1"))] if sent.isascii() and sent else []
        async with StoreClient(store.address) as stranger:
            with refused("UNAUTHENTICATED") as refusal:
                await stranger.events.GetStoreInfo(api.GetStoreInfoRequest(), metadata=metadata)
        assert TOKEN not in refusal.message
        await store.client.events.GetStoreInfo(api.GetStoreInfoRequest())


async def test_streams_need_the_token_too(tmp_path: Path) -> None:
    async with running_store(tmp_path / "store.db", token=TOKEN) as store, StoreClient(store.address) as stranger:
        with refused("UNAUTHENTICATED"):
            await stranger.events.WatchEvents(api.WatchEventsRequest(all_runs=True)).read()
        with refused("UNAUTHENTICATED"):
            await stranger.queue.ConsumeMessages().read()


async def test_the_read_token_reads_watches_and_nothing_else(tmp_path: Path) -> None:
    async with running_store(tmp_path / "store.db", token=TOKEN, read_token=READ_TOKEN) as store:
        await create_run(store.client, "order-1")
        async with StoreClient(store.address, token=READ_TOKEN) as reader:
            await reader.events.GetRun(api.GetRunRequest(run_id="order-1"))
            watch = reader.events.WatchEvents(api.WatchEventsRequest(run_id="order-1"))
            assert (await watch.read()).batch.events
            watch.cancel()
            with refused("PERMISSION_DENIED") as refusal:
                await create_run(reader, "order-2")
            assert "CreateEvents" in refusal.message


async def test_health_needs_no_token_and_reflection_does(tmp_path: Path) -> None:
    async with running_store(tmp_path / "store.db", token=TOKEN) as store, StoreClient(store.address) as stranger:
        health: Any = health_pb2_grpc.HealthStub(stranger.channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(stranger.channel)
        call = reflection.ServerReflectionInfo()
        with refused("UNAUTHENTICATED"):
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            await call.read()


def test_a_read_token_alone_is_a_mistake_that_is_told() -> None:
    with pytest.raises(ValueError, match="everybody may write"):
        StoreSettings(read_token="look")


async def test_tokens_are_never_logged(tmp_path: Path) -> None:
    process = StoreProcess(tmp_path / "store.db", HOLDFAST_TOKEN=TOKEN, HOLDFAST_READ_TOKEN=READ_TOKEN)
    try:
        async with StoreClient(process.address, token="guess") as stranger:
            with refused("UNAUTHENTICATED"):
                await create_run(stranger, "order-1")
        process.terminate()
        assert process.wait() == 0
        for secret in (TOKEN, READ_TOKEN, "guess"):
            assert secret not in process.stderr
    finally:
        process.close()
