"""Receiving over the socket: waiting without polling, fairly, and without keeping what nobody takes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

from holdfast.v1 import queue_service_pb2 as api
from store_service.api.queue import QueueApi
from tests.support.clocks import ManualClock
from tests.support.queue_bench import LEASE_MS, QUEUE, new_message, text_of
from tests.support.store import DEADLINE_SECONDS, Store, StoreClient, eventually


@pytest.fixture
async def store(any_store: Store) -> Store:
    """On each engine."""
    return any_store


def receive(store: Store, *queues: str, wait_seconds: float = 30, messages_max: int = 1) -> Any:
    request = api.ReceiveMessagesRequest(queues=queues or [QUEUE], max_messages=messages_max)
    if wait_seconds:
        request.wait.FromMilliseconds(int(wait_seconds * 1000))
    request.lease_duration.FromMilliseconds(LEASE_MS)
    return store.client.queue.ReceiveMessages(request, timeout=DEADLINE_SECONDS)


async def send(store: Store, text: str = "hello", **fields: Any) -> str:
    answer = await store.client.queue.Enqueue(api.EnqueueRequest(message=new_message(text, **fields)))
    return str(answer.message_id)


async def in_line(store: Store, count: int) -> None:
    await eventually(lambda: store.running.parts.delivery.waiting == count)


async def waiting(store: Store, *queues: str, **options: Any) -> asyncio.Task[api.ReceiveMessagesResponse]:
    """Start a receive and return its task once it stands in line."""
    count = store.running.parts.delivery.waiting

    async def call() -> api.ReceiveMessagesResponse:
        response: api.ReceiveMessagesResponse = await receive(store, *queues, **options)
        return response

    task = asyncio.create_task(call())
    await in_line(store, count + 1)
    return task


async def test_without_a_wait_the_answer_comes_at_once(store: Store) -> None:
    assert not (await receive(store, wait_seconds=0)).messages
    await send(store)
    assert len((await receive(store, wait_seconds=0)).messages) == 1


async def test_more_messages_than_a_hundred_are_taken_as_a_hundred(store: Store) -> None:
    await store.client.queue.EnqueueBatch(api.EnqueueBatchRequest(messages=[new_message()] * 120))
    assert len((await receive(store, wait_seconds=0, messages_max=1000)).messages) == 100


async def test_a_wait_that_is_over_returns_nothing(store: Store) -> None:
    assert not (await receive(store, wait_seconds=0.05)).messages
    await in_line(store, 0)


async def test_a_waiting_consumer_gets_a_message_that_is_sent_later(store: Store) -> None:
    waiter = await waiting(store)
    await send(store)
    assert [text_of(one) for one in (await waiter).messages] == ["hello"]


async def test_consumers_are_served_in_the_order_they_came(store: Store) -> None:
    waiters = [await waiting(store) for _ in range(5)]
    for number in range(5):
        await send(store, str(number))
        (message,) = (await waiters[number]).messages
        assert text_of(message) == str(number)


async def test_many_waiting_consumers_share_what_comes_without_loss_or_double(store: Store) -> None:
    waiters = [await waiting(store, wait_seconds=60) for _ in range(40)]
    await asyncio.gather(*(send(store, str(number)) for number in range(40)))
    got = [text_of(one) for waiter in waiters for one in (await waiter).messages]
    assert sorted(got, key=int) == [str(number) for number in range(40)]


async def test_a_hundred_waiting_consumers_cost_one_claim_for_a_message(store: Store) -> None:
    waiters = [await waiting(store, wait_seconds=60) for _ in range(100)]
    await eventually(lambda: _is_quiet(store))
    before = store.engine.statements
    await send(store)
    await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    await eventually(lambda: _is_quiet(store))
    assert store.engine.statements - before < 60
    for waiter in waiters:
        waiter.cancel()


async def _is_quiet(store: Store) -> bool:
    before = store.engine.statements
    await asyncio.sleep(0.05)
    return store.engine.statements == before


async def test_a_consumer_waits_for_several_queues_at_once(store: Store) -> None:
    waiter = await waiting(store, "one", "two")
    await send(store, "here", queue="two")
    assert [text_of(one) for one in (await waiter).messages] == ["here"]


async def test_a_waiting_consumer_wakes_when_a_dead_holders_lease_ends(
    clocked_store: Store, clock: ManualClock
) -> None:
    await send(clocked_store)
    await receive(clocked_store)
    waiter = await waiting(clocked_store)
    clock.advance(LEASE_MS)
    (message,) = (await waiter).messages
    assert message.message.delivery_count == 2


async def test_a_consumer_that_waited_before_the_claim_wakes_when_that_lease_ends(
    clocked_store: Store, clock: ManualClock
) -> None:
    first, second = await waiting(clocked_store), await waiting(clocked_store)
    await send(clocked_store)
    assert (await first).messages
    clock.advance(LEASE_MS)
    assert (await second).messages


async def test_a_waiting_consumer_wakes_when_a_delayed_message_is_due(clocked_store: Store, clock: ManualClock) -> None:
    waiter = await waiting(clocked_store)
    await send(clocked_store, due_ms=clock() + 5_000)
    clock.advance(4_999)
    assert not waiter.done()
    clock.advance(1)
    assert (await waiter).messages


async def test_a_waiting_consumer_wakes_when_the_group_is_free_again(store: Store) -> None:
    await send(store, "a1", group="a")
    await send(store, "a2", group="a")
    (held,) = (await receive(store)).messages
    waiter = await waiting(store)
    await store.client.queue.AckMessages(api.AckMessagesRequest(receipts=[held.receipt]))
    assert [text_of(one) for one in (await waiter).messages] == ["a2"]


async def test_a_waiting_consumer_wakes_when_a_message_is_given_back(store: Store) -> None:
    await send(store)
    (held,) = (await receive(store)).messages
    waiter = await waiting(store)
    await store.client.queue.NackMessages(api.NackMessagesRequest(receipts=[held.receipt]))
    assert (await waiter).messages


async def test_a_wait_cancelled_by_the_client_swallows_no_later_message(store: Store) -> None:
    async with StoreClient(store.address) as other:
        request = api.ReceiveMessagesRequest(queues=[QUEUE])
        request.wait.FromSeconds(30)
        call = other.queue.ReceiveMessages(request)
        await in_line(store, 1)
        call.cancel()
        await in_line(store, 0)
    await send(store)
    assert (await receive(store, wait_seconds=0)).messages


@pytest.mark.parametrize("is_cancelled_before_commit", [True, False])
async def test_a_caller_that_left_between_claim_and_answer_keeps_nothing(
    store: Store, is_cancelled_before_commit: bool
) -> None:
    """The claim is on its way to the database, held up behind another unit, while the caller hangs up."""
    message_id = await send(store)
    delivery = store.running.parts.delivery
    begun, go_on = threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold_up(tx: object) -> None:
        begun.set()
        go_on.wait(DEADLINE_SECONDS)

    blocker = asyncio.create_task(store.engine.write(hold_up))
    await loop.run_in_executor(None, begun.wait)
    caller = asyncio.create_task(delivery.take([QUEUE], limit=1, lease_ms=LEASE_MS, wait_seconds=None))
    await in_line(store, 1)
    if is_cancelled_before_commit:
        caller.cancel()
        go_on.set()
    else:
        go_on.set()
        await in_line(store, 0)
        # The answer is there, the caller has not run yet or only just: either way it must not keep the message.
        caller.cancel()
    await asyncio.gather(caller, blocker, return_exceptions=True)
    # Units commit in order: after this one, the claim has.
    await store.engine.write(lambda tx: None)
    if not caller.cancelled():
        await delivery.release([one.receipt for one in caller.result()])
    row = await eventually(lambda: _ready(store, message_id))
    assert row.delivery_count == 0


async def _ready(store: Store, message_id: str) -> Any:
    row = await store.engine.read(lambda reader: reader.message(message_id))
    return row if row is not None and row.state == api.QUEUE_MESSAGE_STATE_READY else None


async def test_a_caller_whose_deadline_passed_during_the_claim_keeps_nothing(store: Store) -> None:
    message_id = await send(store)
    begun, go_on = threading.Event(), threading.Event()

    def hold_up(tx: object) -> None:
        begun.set()
        go_on.wait(DEADLINE_SECONDS)

    blocker = asyncio.create_task(store.engine.write(hold_up))
    await asyncio.get_running_loop().run_in_executor(None, begun.wait)
    request = api.ReceiveMessagesRequest(queues=[QUEUE])
    with pytest.raises(grpc.RpcError) as caught:
        await store.client.queue.ReceiveMessages(request, timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    go_on.set()
    await blocker
    await store.engine.write(lambda tx: None)
    row = await eventually(lambda: _ready(store, message_id))
    assert row.delivery_count == 0


class _TooLate:
    """The context of a call whose deadline passed in the very moment of its answer, before grpc noticed."""

    def time_remaining(self) -> float:
        return -0.001


async def test_an_answer_that_comes_after_the_deadline_keeps_nothing_though_grpc_does_not_say(store: Store) -> None:
    message_id = await send(store)
    handler = QueueApi(store.running.parts)
    answer = await handler.ReceiveMessages(api.ReceiveMessagesRequest(queues=[QUEUE]), _TooLate())
    assert [one.message.message_id for one in answer.messages] == [message_id]
    row = await _ready(store, message_id)
    assert row is not None and row.delivery_count == 0


async def test_many_consumers_never_share_a_group_and_keep_its_order(store: Store) -> None:
    """Group exclusion under concurrency: at no moment are two messages of one group leased."""
    for number in range(60):
        await send(store, str(number), group=f"g{number % 3}")
    held: dict[str, str] = {}
    done: list[int] = []

    async def consume() -> None:
        while len(done) < 60:
            for one in (await receive(store, wait_seconds=0.2, messages_max=4)).messages:
                assert one.message.group not in held
                held[one.message.group] = one.receipt
                await asyncio.sleep(0)
                done.append(int(text_of(one)))
                del held[one.message.group]
                await store.client.queue.AckMessages(api.AckMessagesRequest(receipts=[one.receipt]))

    await asyncio.gather(*(consume() for _ in range(8)))
    assert sorted(done) == list(range(60))
    for group in range(3):
        mine = [number for number in done if number % 3 == group]
        assert mine == sorted(mine)
