"""The server as a stranger meets it: a run, its log, its health."""

from __future__ import annotations

from holdfast.v1 import store_service_pb2 as api
from tests.support.store import Store, StoreClient, StoreProcess, add, create_run, hook_created, hook_received, refused


async def test_a_run_is_created_and_its_log_read_back(store: Store) -> None:
    created = await create_run(store.client, "order-1")
    await add(store.client, "order-1", hook_created())
    page = await store.client.events.ListEvents(api.ListEventsRequest(run_id="order-1"))
    assert [event.seq for event in page.events] == [1, 2, 3]
    assert page.events[0].event_id == created.events[0].event_id


async def test_a_decision_from_an_old_copy_is_refused_over_the_socket(store: Store) -> None:
    created = await create_run(store.client, "order-1")
    await add(store.client, "order-1", hook_created())
    old = created.run.guard.head_at
    await add(store.client, "order-1", hook_received())
    with refused("STALE_SNAPSHOT") as refusal:
        await add(store.client, "order-1", hook_created("hook_#2"), state_updated_at=old)
    assert [event.seq for event in refusal.stale.missed.events] == [3, 4]


async def test_a_store_process_serves_and_keeps_what_it_acknowledged_over_a_kill(store_process: StoreProcess) -> None:
    async with StoreClient(store_process.address) as client:
        await create_run(client, "order-1")
        store_process.restart()
    async with StoreClient(store_process.address) as client:
        page = await client.events.ListEvents(api.ListEventsRequest(run_id="order-1"))
    assert len(page.events) == 2
