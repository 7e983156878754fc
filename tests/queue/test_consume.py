"""The consumer stream: credit, commands, heartbeats, drain, and what happens to its messages when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest

from holdfast.v1 import queue_service_pb2 as api
from store_service.api import consume
from tests.support.queue_bench import QUEUE, new_message, text_of
from tests.support.store import DEADLINE_SECONDS, Store, eventually, refused

Command = api.ConsumeMessagesRequest


@asynccontextmanager
async def consumer(store: Store, credit: int = 0, **fields: Any) -> AsyncIterator[Any]:
    """Open a stream and yield its call after `opened`; cancel it at the end unless it has ended."""
    call = store.client.queue.ConsumeMessages()
    await call.write(Command(open=api.ConsumeOpen(queues=[QUEUE], initial_credit=credit, **fields)))
    assert (await said(call)).WhichOneof("kind") == "opened"
    try:
        yield call
    finally:
        call.cancel()


async def said(call: Any) -> api.ConsumeMessagesResponse:
    """Return what the server says next, heartbeats left out."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            message: api.ConsumeMessagesResponse = await call.read()
            if message is grpc.aio.EOF or message.WhichOneof("kind") != "heartbeat":
                return message


async def delivered(call: Any) -> api.LeasedMessage:
    message = await said(call)
    assert message.WhichOneof("kind") == "delivery", message
    return message.delivery


async def send(store: Store, *texts: str, **fields: Any) -> None:
    for text in texts:
        await store.client.queue.Enqueue(api.EnqueueRequest(message=new_message(text, **fields)))


async def counts(store: Store) -> tuple[int, int]:
    queue = (await store.client.queue.GetQueue(api.GetQueueRequest(queue=QUEUE))).queue
    return queue.ready_count, queue.leased_count


async def test_credit_is_a_bound_and_every_delivery_uses_one_up(store: Store) -> None:
    await send(store, "1", "2", "3")
    async with consumer(store, credit=2) as call:
        assert [text_of(await delivered(call)) for _ in range(2)] == ["1", "2"]
        assert await counts(store) == (1, 2)
        await call.write(Command(credit=api.ConsumeCredit(messages=1)))
        assert text_of(await delivered(call)) == "3"


async def test_a_message_that_is_sent_later_is_delivered(store: Store) -> None:
    async with consumer(store, credit=1) as call:
        await send(store, "late")
        assert text_of(await delivered(call)) == "late"


async def test_commands_are_answered_in_their_order(store: Store) -> None:
    await send(store, "1", "2")
    async with consumer(store, credit=2) as call:
        one, two = await delivered(call), await delivered(call)
        await call.write(Command(extend=api.ExtendLeasesRequest(receipts=[one.receipt])))
        await call.write(Command(ack=api.AckMessagesRequest(receipts=[one.receipt])))
        await call.write(Command(nack=api.NackMessagesRequest(receipts=[two.receipt, "msg_x.y"])))
        results = [(await said(call)).results.results for _ in range(3)]
        assert [[result.receipt for result in group] for group in results] == [
            [one.receipt],
            [one.receipt],
            [two.receipt, "msg_x.y"],
        ]
        assert [[result.ok for result in group] for group in results] == [[True], [True], [True, False]]
        assert results[0][0].HasField("expire_time")


async def test_messages_of_a_broken_stream_are_released_at_once_and_the_delivery_does_not_count(store: Store) -> None:
    await send(store, "1", "2", "3")
    async with consumer(store, credit=2) as call:
        for _ in range(2):
            await delivered(call)
    await eventually(lambda: _are(store, (3, 0)))
    async with consumer(store, credit=1) as call:
        again = await delivered(call)
        assert (again.message.delivery_count, again.message.last_reason) == (1, "its consumer went away")


async def _are(store: Store, wanted: tuple[int, int]) -> bool:
    return await counts(store) == wanted


async def test_closing_the_clients_side_ends_the_stream_and_releases_the_rest(store: Store) -> None:
    await send(store, "1", "2")
    async with consumer(store, credit=2) as call:
        one = await delivered(call)
        await delivered(call)
        await call.write(Command(ack=api.AckMessagesRequest(receipts=[one.receipt])))
        assert (await said(call)).results.results[0].ok
        await call.done_writing()
        assert await said(call) is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
    await eventually(lambda: _are(store, (1, 0)))


async def test_a_client_that_drains_gets_no_more_deliveries_and_settles_what_it_holds(store: Store) -> None:
    await send(store, "1")
    async with consumer(store, credit=10) as call:
        held = await delivered(call)
        await call.write(Command(drain=api.ConsumeDrain()))
        # The answer to a later command proves that the drain was taken in.
        await call.write(Command(extend=api.ExtendLeasesRequest(receipts=[held.receipt])))
        assert (await said(call)).results.results[0].ok
        await send(store, "2")
        assert await counts(store) == (1, 1)
        await call.write(Command(ack=api.AckMessagesRequest(receipts=[held.receipt])))
        assert (await said(call)).results.results[0].ok
        await call.done_writing()
        assert await said(call) is grpc.aio.EOF


async def test_silence_is_filled_with_heartbeats(store: Store) -> None:
    opening = api.ConsumeOpen(queues=[QUEUE])
    opening.heartbeat_interval.FromMilliseconds(1_000)
    call = store.client.queue.ConsumeMessages()
    await call.write(Command(open=opening))
    kinds = [(await call.read()).WhichOneof("kind") for _ in range(3)]
    assert kinds == ["opened", "heartbeat", "heartbeat"]
    call.cancel()


async def test_the_opening_says_what_is_in_force(store: Store) -> None:
    call = store.client.queue.ConsumeMessages()
    await call.write(Command(open=api.ConsumeOpen(queues=[QUEUE])))
    opened = (await call.read()).opened
    assert (opened.lease_duration.seconds, opened.heartbeat_interval.seconds) == (30, 15)
    call.cancel()


async def test_a_draining_server_says_so_and_lets_the_consumer_settle(store: Store) -> None:
    await send(store, "1", "2")
    async with consumer(store, credit=1) as call:
        held = await delivered(call)
        draining = asyncio.create_task(store.running.drain())
        assert (await said(call)).WhichOneof("kind") == "draining"
        await call.write(Command(ack=api.AckMessagesRequest(receipts=[held.receipt])))
        assert (await said(call)).results.results[0].ok
        await call.done_writing()
        assert await said(call) is grpc.aio.EOF
        await draining


@pytest.mark.parametrize(
    ("commands", "field"),
    [
        ([Command(credit=api.ConsumeCredit(messages=1))], "open"),
        ([Command(open=api.ConsumeOpen())], "open.queues"),
        ([Command(open=api.ConsumeOpen(queues=["No Queue"]))], "open.queues[0]"),
        ([Command(open=api.ConsumeOpen(queues=[QUEUE], initial_credit=-1))], "open.initial_credit"),
        ([Command(open=api.ConsumeOpen(queues=[QUEUE]))] * 2, "open"),
        ([Command(open=api.ConsumeOpen(queues=[QUEUE])), Command()], "command"),
        (
            [Command(open=api.ConsumeOpen(queues=[QUEUE])), Command(credit=api.ConsumeCredit(messages=-1))],
            "credit.messages",
        ),
        ([Command(open=api.ConsumeOpen(queues=[QUEUE])), Command(ack=api.AckMessagesRequest())], "receipts"),
    ],
)
async def test_wrong_commands_end_the_stream_with_the_field_that_is_wrong(
    store: Store, commands: list[Command], field: str
) -> None:
    call = store.client.queue.ConsumeMessages()
    with refused("INVALID_FIELD") as refusal:
        for command in commands:
            await call.write(command)
        while await call.read() is not grpc.aio.EOF:
            pass
        await call
    assert refusal.field == field


async def test_credit_has_a_limit(store: Store) -> None:
    call = store.client.queue.ConsumeMessages()
    with refused("TOO_LARGE"):
        await call.write(Command(open=api.ConsumeOpen(queues=[QUEUE], initial_credit=10_001)))
        await call.read()


def test_every_command_is_served() -> None:
    arms = {field.name for field in Command.DESCRIPTOR.oneofs_by_name["command"].fields}
    assert set(consume._COMMANDS) == arms - {"open"}
