"""The transport without a socket answers as the wire does: errors with their trailers, copies, streams that end."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from holdfast.testing.transport import InProcessChannel, InProcessServer
from holdfast.v1 import queue_service_pb2 as api
from holdfast.v1 import queue_service_pb2_grpc
from tests.support.store import take_apart


class Service(queue_service_pb2_grpc.QueueServiceServicer):
    """Answers what the tests ask for."""

    async def Enqueue(self, request: api.EnqueueRequest, context: object) -> api.EnqueueResponse:
        from holdfast.refusal import invalid_field

        if request.message.queue == "bad":
            raise invalid_field("message.queue", "is bad")
        if request.message.queue == "bug":
            raise ZeroDivisionError
        request.message.queue = "changed"
        return api.EnqueueResponse(message_id="m1")

    async def ConsumeMessages(self, requests, context):  # type: ignore[no-untyped-def]
        async for request in requests:
            yield api.ConsumeMessagesResponse(delivery=api.LeasedMessage(receipt=str(request.credit.messages)))


@pytest.fixture
async def stub():  # type: ignore[no-untyped-def]
    server = InProcessServer()
    queue_service_pb2_grpc.add_QueueServiceServicer_to_server(Service(), server)

    async def find() -> InProcessServer:
        return server

    channel = InProcessChannel(find)
    yield queue_service_pb2_grpc.QueueServiceStub(channel)
    await channel.close()


def message(queue: str) -> api.EnqueueRequest:
    return api.EnqueueRequest(message=api.NewQueueMessage(queue=queue))


async def test_the_two_sides_share_no_message(stub) -> None:  # type: ignore[no-untyped-def]
    request = message("mine")
    assert (await stub.Enqueue(request, timeout=1)).message_id == "m1"
    assert request.message.queue == "mine"


async def test_a_refusal_arrives_with_code_and_details(stub) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(grpc.RpcError) as caught:
        await stub.Enqueue(message("bad"))
    refused = take_apart(caught.value)
    assert (refused.code, refused.info.reason, refused.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
        "message.queue",
    )


async def test_a_bug_is_an_internal_error(stub) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(grpc.RpcError) as caught:
        await stub.Enqueue(message("bug"))
    assert take_apart(caught.value).info.reason == "INTERNAL"


async def test_a_stream_is_answered_as_it_is_asked_and_ends(stub) -> None:  # type: ignore[no-untyped-def]
    async def requests():  # type: ignore[no-untyped-def]
        for credit in (1, 2, 3):
            yield api.ConsumeMessagesRequest(credit=api.ConsumeCredit(messages=credit))

    answers = [answer.delivery.receipt async for answer in stub.ConsumeMessages(requests())]
    assert answers == ["1", "2", "3"]


async def test_a_cancelled_stream_ends_for_its_reader(stub) -> None:  # type: ignore[no-untyped-def]
    async def silence():  # type: ignore[no-untyped-def]
        await asyncio.Event().wait()
        yield api.ConsumeMessagesRequest()

    call = stub.ConsumeMessages(silence())
    reading = asyncio.ensure_future(anext(call, None))
    await asyncio.sleep(0)
    call.cancel()
    assert await reading is None
