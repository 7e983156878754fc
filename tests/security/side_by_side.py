"""Two namespaces that hold the same ids, and one call for every RPC of the store that would show or change the other's.

Owns the content that a namespace is filled with, the table of calls, and what of an answer is by chance. ``MINE`` and
``THEIRS`` tell whose a value is; runs, steps, hooks, tokens, waits, queues, keys, streams, writers and request ids are
the same in both. The verdicts are in ``test_namespaces.py``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import psycopg
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import status_pb2

from holdfast.v1 import event_pb2, payload_pb2
from holdfast.v1 import queue_service_pb2 as queue_api
from holdfast.v1 import session_service_pb2 as session_api
from holdfast.v1 import store_service_pb2 as api
from holdfast.v1 import stream_service_pb2 as stream_api
from tests.support.any_rpc import path_of, reason_of
from tests.support.clocks import EPOCH_MS
from tests.support.store import (
    DEADLINE_SECONDS,
    StoreClient,
    add,
    create_run,
    hook_created,
    hook_received,
    run_completed,
)

MINE, THEIRS = "of-mine", "of-theirs-alone"

RUN, ENDED, STEP, HOOK, WAIT, TOKEN = "run-1", "run-0", "step_#1", "hook_#1", "wait_#1", "token-1"
QUEUE, STREAM, REQUEST_ID, KEY = "jobs", "out", "request-1", "key-1"

REF = stream_api.StreamRef(run_id=RUN, name=STREAM)
STORED = payload_pb2.PAYLOAD_VIEW_STORED

#: Fields of answers that are drawn by chance, or name the store that answered.
_BY_CHANCE = frozenset(
    (
        *("event_id", "message_id", "message_ids", "receipt", "store_id", "namespace"),
        *("cursor", "next_cursor", "next_page_token"),
    )
)


def payload(text: str) -> payload_pb2.Payload:
    return payload_pb2.Payload(text=f'"{text}"')


async def populate(client: StoreClient, mark: str) -> list[str]:
    """Fill a namespace; returns the receipts of messages that somebody works on."""
    await create_run(client, ENDED)
    await add(client, ENDED, run_completed())
    await create_run(client, RUN, input=payload(mark), attributes={"whose": mark})
    waiting = event_pb2.Event(correlation_id=WAIT)
    waiting.wait_created.resume_time.FromMilliseconds(EPOCH_MS + 1_000_000 + len(mark))
    step = event_pb2.StepCreated(step_name="charge", input=payload(mark))
    for event in (
        event_pb2.Event(correlation_id=STEP, step_created=step),
        event_pb2.Event(correlation_id=STEP, step_started=event_pb2.StepStarted(attempt=1)),
        hook_created(HOOK, token=TOKEN, metadata=payload(mark)),
        waiting,
    ):
        await add(client, RUN, event)
    await add(client, RUN, hook_received(HOOK, f'"{mark}"'), request_id=f"{REQUEST_ID}-{mark}")
    await client.streams.AppendChunks(
        stream_api.AppendChunksRequest(stream=REF, chunks=[mark.encode()], writer_id="writer-1")
    )
    for number in range(8):
        await client.queue.Enqueue(queue_api.EnqueueRequest(message=message(mark, key=f"waiting-{number}")))
    receiving = queue_api.ReceiveMessagesRequest(queues=[QUEUE], max_messages=6)
    dead, *leased = (await client.queue.ReceiveMessages(receiving)).messages
    letter = queue_api.NackMessagesRequest(receipts=[dead.receipt], action=queue_api.NACK_ACTION_DEAD_LETTER)
    await client.queue.NackMessages(letter)
    if mark == THEIRS:
        # What the other one is going to say for the first time: said here already, with other words.
        await add(client, RUN, hook_received(HOOK, '"earlier"'), request_id=REQUEST_ID)
        for key in (KEY, "key-2", "key-3"):
            await client.queue.Enqueue(queue_api.EnqueueRequest(message=message(mark, key=key)))
        await client.queue.Enqueue(queue_api.EnqueueRequest(message=message(mark, queue="another")))
        await create_run(client, "run-2", attributes={"whose": mark}, parent_run_id=RUN)
    return [it.receipt for it in leased]


def message(mark: str, *, queue: str = QUEUE, key: str = "") -> queue_api.NewQueueMessage:
    return queue_api.NewQueueMessage(queue=queue, payload=payload(mark), idempotency_key=key)


@dataclass(frozen=True)
class Case:
    """One call: what is sent, given receipts of the other namespace, and how much of the answer is waited for.

    ``is_enough`` None: for all of it, and the call says that it has sent all.
    """

    requests: Callable[[Sequence[str]], Sequence[Message]]
    is_enough: Callable[[Sequence[Any]], bool] | None = None


def one(request: Message, count: int = 0) -> Case:
    return Case(lambda _: [request], (lambda answers: len(answers) >= count) if count else None)


def _session(receipts: Sequence[str]) -> Sequence[Message]:
    calls = {
        "create_event": api.CreateEventRequest(run_id=RUN, event=hook_received(HOOK, f'"{MINE}"')),
        "create_events": api.CreateEventsRequest(run_id=RUN, events=[hook_received(HOOK, f'"{MINE}"')]),
        "get_run": api.GetRunRequest(run_id=RUN, view=STORED),
        "get_hook": api.GetHookRequest(token=TOKEN, view=STORED),
        "list_events": api.ListEventsRequest(run_id=RUN, view=STORED),
        "ack_messages": queue_api.AckMessagesRequest(receipts=[receipts[3]]),
        "nack_messages": queue_api.NackMessagesRequest(receipts=[receipts[4]]),
    }
    # Each is sent when the one before is answered; the first message is answered by `opened`.
    return [
        session_api.OpenSessionRequest(),
        *(session_api.OpenSessionRequest(calls=[session_api.SessionCall(**{arm: it})]) for arm, it in calls.items()),
    ]


_WATCH = api.WatchEventsRequest(all_runs=True, start=api.WATCH_START_EARLIEST, view=STORED)
_OPEN_WRITE = stream_api.WriteStreamOpen(stream=REF, writer_id="writer-2")
_OPEN_CONSUME = queue_api.ConsumeOpen(queues=[QUEUE], consumer_id="consumer-1", initial_credit=1)

#: Method → its call, in the order in which they are made; what destroys comes last.
CASES: dict[str, Case] = {
    "StoreService.GetStoreInfo": one(api.GetStoreInfoRequest()),
    "StoreService.CreateEvent": one(
        api.CreateEventRequest(run_id=RUN, event=hook_received(HOOK, f'"{MINE}"'), request_id=REQUEST_ID)
    ),
    "StoreService.CreateEvents": one(
        api.CreateEventsRequest(run_id=RUN, events=[hook_received(HOOK, f'"{MINE}"')], request_id="request-3")
    ),
    "StoreService.GetEvent": one(api.GetEventRequest(run_id=RUN, request_id=REQUEST_ID, view=STORED)),
    "StoreService.ListEvents": one(api.ListEventsRequest(run_id=RUN, view=STORED)),
    "StoreService.WatchEvents": one(_WATCH, 2),
    "StoreService.GetRun": one(api.GetRunRequest(run_id=RUN, view=STORED)),
    "StoreService.ListRuns": one(api.ListRunsRequest()),
    "StoreService.GetStep": one(api.GetStepRequest(run_id=RUN, step_id=STEP, view=STORED)),
    "StoreService.ListSteps": one(api.ListStepsRequest(run_id=RUN, view=STORED)),
    "StoreService.GetHook": one(api.GetHookRequest(token=TOKEN, view=STORED)),
    "StoreService.ListHooks": one(api.ListHooksRequest(view=STORED)),
    "StoreService.GetWait": one(api.GetWaitRequest(run_id=RUN, wait_id=WAIT)),
    "StoreService.ListWaits": one(api.ListWaitsRequest()),
    "QueueService.Enqueue": one(queue_api.EnqueueRequest(message=message(MINE, key=KEY))),
    "QueueService.EnqueueBatch": one(queue_api.EnqueueBatchRequest(messages=[message(MINE, key="key-2")])),
    "QueueService.GetQueue": one(queue_api.GetQueueRequest(queue=QUEUE)),
    "QueueService.ListQueues": one(queue_api.ListQueuesRequest()),
    "QueueService.ListMessages": one(queue_api.ListMessagesRequest(queue=QUEUE, view=STORED)),
    "QueueService.ReceiveMessages": one(queue_api.ReceiveMessagesRequest(queues=[QUEUE], max_messages=1)),
    "QueueService.ConsumeMessages": one(queue_api.ConsumeMessagesRequest(open=_OPEN_CONSUME), 2),
    "QueueService.ExtendLeases": Case(lambda receipts: [queue_api.ExtendLeasesRequest(receipts=[receipts[0]])]),
    "QueueService.NackMessages": Case(lambda receipts: [queue_api.NackMessagesRequest(receipts=[receipts[1]])]),
    "QueueService.AckMessages": Case(lambda receipts: [queue_api.AckMessagesRequest(receipts=[receipts[2]])]),
    "QueueService.RedriveMessages": one(queue_api.RedriveMessagesRequest(queue=QUEUE)),
    "StreamService.GetStream": one(stream_api.GetStreamRequest(stream=REF)),
    "StreamService.ListStreams": one(stream_api.ListStreamsRequest(run_id=RUN)),
    "StreamService.ReadStream": one(stream_api.ReadStreamRequest(stream=REF, snapshot=True)),
    "StreamService.AppendChunks": one(
        stream_api.AppendChunksRequest(stream=REF, chunks=[b"zero", b"one"], writer_id="writer-1")
    ),
    "StreamService.WriteStream": Case(
        lambda _: [stream_api.WriteStreamRequest(open=_OPEN_WRITE), stream_api.WriteStreamRequest(data=b"more")]
    ),
    "StreamService.CloseStream": one(stream_api.CloseStreamRequest(stream=REF)),
    "SessionService.OpenSession": Case(_session, lambda answers: len(answers) == 8),
    "StoreService.DeleteRuns": one(api.DeleteRunsRequest(run_ids=[ENDED])),
}


async def answers_to(
    channel: grpc.aio.Channel, method: MethodDescriptor, case: Case, receipts: Sequence[str], metadata: Any
) -> tuple[str, list[Any]]:
    """Make the call of a case; returns the reason of its refusal ("" for none) and its answers."""
    sides = ("unary", "stream")
    kind = f"{sides[method.client_streaming]}_{sides[method.server_streaming]}"
    call = getattr(channel, kind)(
        path_of(method),
        request_serializer=lambda it: it.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    requests = case.requests(receipts)
    answered = asyncio.Semaphore(0) if case.is_enough is not None else None
    started = call(_sent(requests, answered) if method.client_streaming else requests[0], metadata=metadata)
    answers: list[Any] = []
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            if not method.server_streaming:
                answers.append(await started)
            else:
                while (answer := await started.read()) is not grpc.aio.EOF:
                    answers.append(answer)
                    if case.is_enough is not None and case.is_enough(answers):
                        break
                    if answered is not None:
                        answered.release()
    except grpc.aio.AioRpcError as error:
        return reason_of(error), answers
    finally:
        started.cancel()
    return "", answers


async def _sent(requests: Sequence[Message], answered: asyncio.Semaphore | None) -> Any:
    """Send one after the other; with ``answered`` each when the one before was, and never an end."""
    for number, request in enumerate(requests):
        if number and answered is not None:
            await answered.acquire()
        yield request
    if answered is not None:
        await asyncio.Event().wait()


def told(answers: Sequence[Any]) -> str:
    """What answers say, without what is by chance."""
    return "\n".join(map(_told, answers))


def _told(message: Any) -> str:
    lines = []
    for field, value in message.ListFields():
        if field.name == "failure" and isinstance(value, bytes):
            lines.append(f"failure: {status_pb2.Status.FromString(value).message}")
        elif field.name not in _BY_CHANCE:
            values = value if field.is_repeated and field.message_type and not _is_map(field) else [value]
            lines += [f"{field.name}: {_told(it) if isinstance(it, Message) else it}" for it in values]
    return "{" + ", ".join(lines) + "}"


def _is_map(field: Any) -> bool:
    return bool(field.message_type.GetOptions().map_entry)


def dump(url: str) -> list[str]:
    """Every row of a database, named by its URL, beside the store that has it."""
    if url.startswith("postgresql:"):
        with psycopg.connect(url) as server:
            tables = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
            return [
                f"{table}: {row}"
                for (table,) in tables.fetchall()
                for (row,) in server.execute(f'SELECT it::text FROM "{table}" it ORDER BY 1').fetchall()
            ]
    file = sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True)
    try:
        return list(file.iterdump())
    finally:
        file.close()
