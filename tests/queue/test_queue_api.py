"""QueueService over the socket: sending, looking, redriving; and receipts that travel with creates."""

from __future__ import annotations

from typing import Any

from holdfast.v1 import error_pb2, event_pb2, payload_pb2
from holdfast.v1 import queue_service_pb2 as api
from holdfast.v1 import store_service_pb2 as store_api
from tests.support.clocks import ManualClock
from tests.support.queue_bench import QUEUE, new_message
from tests.support.store import Store, StoreClient, StoreProcess, add, create_run, hook_created, refused

READY, LEASED, DEAD = 1, 2, 3


async def send(store: Store, *texts: str, **fields: Any) -> list[str]:
    request = api.EnqueueBatchRequest(messages=[new_message(text, **fields) for text in texts])
    answer = await store.client.queue.EnqueueBatch(request)
    return [result.message_id for result in answer.results]


async def receive(client: StoreClient, messages_max: int = 1) -> list[api.LeasedMessage]:
    request = api.ReceiveMessagesRequest(queues=[QUEUE], max_messages=messages_max)
    return list((await client.queue.ReceiveMessages(request)).messages)


async def test_a_batch_is_sent_whole_or_not_at_all(store: Store) -> None:
    with refused("INVALID_FIELD"):
        await store.client.queue.EnqueueBatch(
            api.EnqueueBatchRequest(messages=[new_message(), new_message(queue="NO")])
        )
    with refused("RESOURCE_NOT_FOUND"):
        await store.client.queue.GetQueue(api.GetQueueRequest(queue=QUEUE))
    assert len(await send(store, "a", "b")) == 2


async def test_a_queue_is_counted_by_what_its_messages_wait_for(clocked_store: Store, clock: ManualClock) -> None:
    await send(clocked_store, "1", "2", "3")
    await send(clocked_store, "later", due_ms=clock() + 60_000)
    one, two = await receive(clocked_store.client, 2)
    assert one.receipt != two.receipt
    dead = api.NackMessagesRequest(receipts=[two.receipt], action=api.NACK_ACTION_DEAD_LETTER)
    await clocked_store.client.queue.NackMessages(dead)
    clock.advance(10_000)
    queue = (await clocked_store.client.queue.GetQueue(api.GetQueueRequest(queue=QUEUE))).queue
    assert (queue.ready_count, queue.delayed_count, queue.leased_count, queue.dead_count) == (1, 1, 1, 1)
    assert queue.oldest_ready_age.ToMilliseconds() == 10_000


async def test_queues_are_listed_by_name_in_pages(store: Store) -> None:
    for name in ("c", "a", "b"):
        await send(store, "x", queue=name)
    first = await store.client.queue.ListQueues(api.ListQueuesRequest(page_size=2))
    second = await store.client.queue.ListQueues(api.ListQueuesRequest(page_size=2, page_token=first.next_page_token))
    assert [queue.name for queue in (*first.queues, *second.queues)] == ["a", "b", "c"]
    assert not second.next_page_token


async def test_messages_are_listed_oldest_first_in_pages_without_receipts_or_bodies(store: Store) -> None:
    ids = await send(store, "1", "2", "3")
    await receive(store.client)
    found: list[api.QueueMessage] = []
    token = ""
    while True:
        request = api.ListMessagesRequest(queue=QUEUE, page_size=2, page_token=token)
        page = await store.client.queue.ListMessages(request)
        found += page.messages
        token = page.next_page_token
        if not token:
            break
    assert [message.message_id for message in found] == ids
    assert [message.state for message in found] == [LEASED, READY, READY]
    assert found[0].payload.WhichOneof("body") is None and found[0].payload.size_bytes == 3


async def test_messages_are_listed_by_state_and_group_in_the_view_asked_for(store: Store) -> None:
    await send(store, "1", group="a")
    await send(store, "2", group="b")
    request = api.ListMessagesRequest(queue=QUEUE, states=[READY], group="b", view=payload_pb2.PAYLOAD_VIEW_VALUE)
    (message,) = (await store.client.queue.ListMessages(request)).messages
    assert message.payload.value.string_value == "2"
    assert not (await store.client.queue.ListMessages(api.ListMessagesRequest(queue=QUEUE, states=[DEAD]))).messages


async def test_a_page_token_of_another_filter_is_refused(store: Store) -> None:
    await send(store, "1", "2")
    page = await store.client.queue.ListMessages(api.ListMessagesRequest(queue=QUEUE, page_size=1))
    with refused("INVALID_CURSOR"):
        await store.client.queue.ListMessages(
            api.ListMessagesRequest(queue=QUEUE, page_size=1, states=[READY], page_token=page.next_page_token)
        )


async def test_all_dead_letters_of_a_queue_are_redriven_however_many_there_are(store: Store) -> None:
    for _ in range(3):
        await store.client.queue.EnqueueBatch(api.EnqueueBatchRequest(messages=[new_message()] * 400))
    while held := await receive(store.client, 100):
        receipts = [one.receipt for one in held]
        request = api.NackMessagesRequest(receipts=receipts, action=api.NACK_ACTION_DEAD_LETTER)
        await store.client.queue.NackMessages(request)
    answer = await store.client.queue.RedriveMessages(api.RedriveMessagesRequest(queue=QUEUE))
    assert answer.redriven_count == 1200
    assert (await receive(store.client))[0].message.delivery_count == 1


async def test_redriving_by_id_is_all_or_none(store: Store) -> None:
    (message_id,) = await send(store, "1")
    (held,) = await receive(store.client)
    await store.client.queue.NackMessages(
        api.NackMessagesRequest(receipts=[held.receipt], action=api.NACK_ACTION_DEAD_LETTER)
    )
    with refused("RESOURCE_NOT_FOUND"):
        await store.client.queue.RedriveMessages(
            api.RedriveMessagesRequest(queue=QUEUE, message_ids=[message_id, "msg_nobody"])
        )
    assert not await receive(store.client)
    answer = await store.client.queue.RedriveMessages(api.RedriveMessagesRequest(queue=QUEUE, message_ids=[message_id]))
    assert answer.redriven_count == 1


async def test_an_event_its_messages_and_its_receipts_commit_together(store: Store) -> None:
    await create_run(store.client, "order-1")
    await send(store, "work")
    (held,) = await receive(store.client)
    created = await add(
        store.client, "order-1", hook_created(), ack_receipts=[held.receipt], messages=[new_message("born")]
    )
    (born,) = await receive(store.client, 10)
    assert created.message_ids == [born.message.message_id]


async def test_a_fenced_writer_writes_nothing_sends_nothing_and_settles_nothing(
    clocked_store: Store, clock: ManualClock
) -> None:
    """Hazard 13: the holder was paused, its lease moved on, it wakes and writes."""
    client = clocked_store.client
    await create_run(client, "order-1")
    await send(clocked_store, "work", "other")
    paused, still_held = await receive(client, 2)
    clock.advance(20_000)
    extend = api.ExtendLeasesRequest(receipts=[still_held.receipt])
    await client.queue.ExtendLeases(extend)
    clock.advance(10_000)
    (taken_over,) = await receive(client)
    assert taken_over.message.message_id == paused.message.message_id
    for fence in ({"held_receipts": [paused.receipt]}, {"ack_receipts": [still_held.receipt, paused.receipt]}):
        with refused("LEASE_LOST") as refusal:
            await add(client, "order-1", hook_created(), messages=[new_message("born")], **fence)
        detail = refusal.detail(error_pb2.LeaseLost)
        assert detail.message_id == paused.message.message_id and detail.taken_over
    page = await client.events.ListEvents(store_api.ListEventsRequest(run_id="order-1"))
    assert len(page.events) == 2
    assert not await receive(client)
    assert (await client.queue.ExtendLeases(extend)).results[0].ok


async def test_a_held_receipt_stays_held(store: Store) -> None:
    await create_run(store.client, "order-1")
    await send(store, "work")
    (held,) = await receive(store.client)
    await add(store.client, "order-1", hook_created(), held_receipts=[held.receipt])
    answer = await store.client.queue.AckMessages(api.AckMessagesRequest(receipts=[held.receipt]))
    assert answer.results[0].ok


async def test_a_fact_cannot_be_recorded_without_its_run_being_queued(store: Store) -> None:
    created = event_pb2.RunCreated(workflow_name="w", wake_queue=QUEUE)
    await add(store.client, "order-1", event_pb2.Event(run_created=created))
    (wake,) = await receive(store.client)
    assert (wake.message.group, wake.message.payload.text) == ("order-1", '{"run_id":"order-1"}')
    await add(store.client, "order-1", event_pb2.Event(run_cancel_requested=event_pb2.RunCancelRequested()))
    assert not await receive(store.client)
    await store.client.queue.AckMessages(api.AckMessagesRequest(receipts=[wake.receipt]))
    (again,) = await receive(store.client)
    assert again.message.message_id != wake.message.message_id


async def test_leases_and_their_receipts_survive_a_kill_of_the_store(store_process: StoreProcess) -> None:
    async with StoreClient(store_process.address) as client:
        await client.queue.EnqueueBatch(api.EnqueueBatchRequest(messages=[new_message("1"), new_message("2")]))
        one, two = await receive(client, 2)
        await client.queue.AckMessages(api.AckMessagesRequest(receipts=[two.receipt]))
        store_process.restart()
    async with StoreClient(store_process.address) as client:
        assert not await receive(client)
        results = (await client.queue.ExtendLeases(api.ExtendLeasesRequest(receipts=[one.receipt]))).results
        assert results[0].ok
        answer = await client.queue.AckMessages(api.AckMessagesRequest(receipts=[one.receipt, two.receipt]))
        assert [result.ok for result in answer.results] == [True, True]
