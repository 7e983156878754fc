"""Whatever is sent to any RPC of either service, the answer is a documented one and the log stays whole.

Proof of "bad input gets the documented error, with nothing written": the fields of every request are filled at random
from one seed, which is printed. An answer may be an acceptance or a refusal with ErrorInfo; INTERNAL, UNKNOWN, or a
status without its reason is a bug.
"""

from __future__ import annotations

import collections
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from holdfast import hook, sleep, step, workflow
from holdfast.v1 import (
    event_pb2,
    queue_service_pb2,
    runtime_service_pb2,
    store_service_pb2,
    stream_service_pb2,
)
from store_service.auditing import audit_database
from tests.hostile.hostile_messages import HostileMessages
from tests.support.refusals import take_apart
from tests.support.runtime import running_runtime
from tests.support.store import Store

_STORE_FILES: Final = (store_service_pb2, queue_service_pb2, stream_service_pb2)

#: Calls that go on by design: cut off after a moment.
_GOING_ON: Final = ("Watch", "Read", "Consume", "Receive", "Await")

SEED: Final = 20
CALLS: Final = 2500


@step(name="hostile-step")
async def some_step(value: Any = None) -> Any:
    return value


@workflow(name="hostile-waits")
async def waits(token: Any = "hostile-token") -> Any:
    await some_step(token)
    async with hook(dict[str, list[int]], token=str(token)) as answers:
        answer = await answers
    await sleep("1 day")
    return answer


def methods(*files: Any) -> list[MethodDescriptor]:
    return [
        method for file in files for service in file.DESCRIPTOR.services_by_name.values() for method in service.methods
    ]


@pytest.fixture
async def channels(store: Store) -> AsyncIterator[list[tuple[grpc.aio.Channel, MethodDescriptor]]]:
    """Every method of both services with a channel to its server."""
    async with (
        running_runtime(store.address, waits, some_step) as runtime,
        grpc.aio.insecure_channel(store.address) as to_store,
        grpc.aio.insecure_channel(runtime.address) as to_runtime,
    ):
        yield [
            *((to_store, method) for method in methods(*_STORE_FILES)),
            *((to_runtime, method) for method in methods(runtime_service_pb2)),
        ]


async def call(channel: grpc.aio.Channel, method: MethodDescriptor, messages: HostileMessages) -> None:
    """Make one call and read what comes. Raises what the server answers."""
    sent, received = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    shape = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    rpc = getattr(channel, shape)(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=received.FromString,
    )
    request = [messages.fill(sent()) for _ in range(3)] if method.client_streaming else messages.fill(sent())
    answer = rpc(request, timeout=0.1 if method.name.startswith(_GOING_ON) else 10)
    if not method.server_streaming:
        keep_cursors(await answer, messages)
        return
    count = 0
    async for message in answer:
        keep_cursors(message, messages)
        count += 1
        if count == 20:
            answer.cancel()
            return


def keep_cursors(message: Any, messages: HostileMessages) -> None:
    for field, value in message.ListFields():
        if field.name in ("cursor", "next_cursor", "next_page_token"):
            messages.cursors.append(value)
        elif field.name == "messages":
            messages.cursors.extend(getattr(it, "receipt", "") for it in value)


def judge(error: grpc.aio.AioRpcError) -> str:
    """Return the reason of a refusal; fails for an answer that the contract does not have."""
    if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return str(error.code().name)
    if error.details() == "Internal error from Core":
        # Of our own side: the server had ended the call while a further request of its stream was on the way.
        return "too late"
    refusal = take_apart(error)
    assert refusal.info is not None and refusal.info.domain == "holdfast", f"an answer without a reason: {error}"
    assert refusal.info.reason != "INTERNAL", refusal.status.message
    assert len(refusal.status.message) > 10
    return str(refusal.info.reason)


async def test_any_message_gets_a_documented_answer(
    store: Store, channels: list[tuple[grpc.aio.Channel, MethodDescriptor]]
) -> None:
    print("seed", SEED)
    messages = HostileMessages(SEED)
    for run_id in ("hostile-1", "hostile-2"):
        event = event_pb2.Event()
        event.run_created.workflow_name = "by hand"
        await store.client.events.CreateEvent(store_service_pb2.CreateEventRequest(run_id=run_id, event=event))
    reasons: collections.Counter[str] = collections.Counter()
    for _ in range(CALLS):
        channel, method = messages.rng.choice(channels)
        try:
            await call(channel, method, messages)
        except grpc.aio.AioRpcError as error:
            reasons[judge(error)] += 1
        except ValueError as error:  # what protobuf does not even encode
            reasons[type(error).__name__] += 1
        else:
            reasons["OK"] += 1
    assert {"OK", "INVALID_FIELD", "RUN_NOT_FOUND", "ENTITY_NOT_FOUND"} <= reasons.keys(), reasons
    assert audit_database(f"sqlite:///{store.database}").findings == ()
