"""Calls of a store that comes and goes: each is tried until it is answered, with one request id for all its tries.

Storms kill the store under those who call it. Here is what every honest client does then: the same call again, never
another. A refusal is an answer and is raised; silence for longer than `PATIENCE_SECONDS` is a failure of the test.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import grpc

from holdfast.addresses import target_of
from holdfast.errors import NotReady, Throttled, WriteConflict
from holdfast.v1 import event_pb2, payload_pb2, queue_service_pb2, queue_service_pb2_grpc, store_service_pb2
from holdfast.v1.store_service_pb2_grpc import StoreServiceStub
from holdfast.wire import from_rpc_error

#: Beyond what services may stand still for: who gives up does not know what became of its call.
PATIENCE_SECONDS = 30.0 + 12 * float(os.environ.get("HOLDFAST_PAUSE_SECONDS", "0"))
CALL_SECONDS = 5.0
PAUSE_SECONDS = 0.05

RUN_QUEUE = "runs"

Event = event_pb2.Event
Call = Callable[..., Awaitable[Any]]

_OPTIONS = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))


async def until_answered(call: Call, request: Any) -> Any:
    """Make one idempotent call until it is answered; raises the typed error of a refusal."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await call(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            typed = from_rpc_error(error)
            if not isinstance(typed, NotReady | Throttled | WriteConflict) or time.monotonic() > until:
                raise typed from None
        await asyncio.sleep(PAUSE_SECONDS)


class StoreCalls:
    """A channel to one address, or to a list of them, whatever processes serve there at the moment."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(target_of(address), options=_OPTIONS)
        self.events: Any = StoreServiceStub(self._channel)
        self.queue: Any = queue_service_pb2_grpc.QueueServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def create_run(self, run_id: str, workflow_name: str, *arguments: Any) -> None:
        """Create a run that runtimes will take up."""
        given = payload_pb2.Payload(text=json.dumps(arguments), metadata={"args": "positional"})
        created = event_pb2.RunCreated(workflow_name=workflow_name, input=given, wake_queue=RUN_QUEUE)
        await self.append(run_id, Event(run_created=created), request_id=f"create:{run_id}")

    async def append(self, run_id: str, event: Event, *, request_id: str, **guards: Any) -> Any:
        """Append one event, once."""
        request = store_service_pb2.CreateEventRequest(run_id=run_id, event=event, request_id=request_id, **guards)
        return await until_answered(self.events.CreateEvent, request)

    async def send(self, token: str, value: Any, *, request_id: str) -> None:
        """Send a value to an open hook, once."""
        found = await until_answered(self.events.GetHook, store_service_pb2.GetHookRequest(token=token))
        received = event_pb2.HookReceived(payload=payload_pb2.Payload(text=json.dumps(value)))
        event = Event(correlation_id=found.hook.hook_id, hook_received=received)
        await self.append(found.hook.run_id, event, request_id=request_id)

    async def wake(self, run_id: str, key: str) -> None:
        """Queue one more wake-up of a run beside those that wait: a duplicate delivery."""
        message = queue_service_pb2.NewQueueMessage(queue=RUN_QUEUE, group=run_id, idempotency_key=key)
        message.payload.text = json.dumps({"run_id": run_id})
        await until_answered(self.queue.Enqueue, queue_service_pb2.EnqueueRequest(message=message))

    async def log(self, run_id: str) -> list[Event]:
        """Read a whole log."""
        found: list[Event] = []
        while True:
            request = store_service_pb2.ListEventsRequest(run_id=run_id, page_size=1000, after_seq=len(found))
            request.view = payload_pb2.PAYLOAD_VIEW_STORED
            page = await until_answered(self.events.ListEvents, request)
            found.extend(page.events)
            if not page.next_page_token:
                return found

    async def ended(self, run_id: str, seconds: float) -> list[Event]:
        """Wait for the end of a run and return its log. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                request = store_service_pb2.WatchEventsRequest(run_id=run_id, stop_at_terminal=True)
                try:
                    async for message in self.events.WatchEvents(request):
                        if message.closing.reason == store_service_pb2.WATCH_CLOSING_REASON_TERMINAL:
                            return await self.log(run_id)
                except grpc.RpcError as error:
                    if not isinstance(from_rpc_error(error), NotReady):
                        raise from_rpc_error(error) from None
                await asyncio.sleep(PAUSE_SECONDS)

    async def emptied(self, run_id: str, seconds: float) -> None:
        """Wait until no message of the run is left in the queue. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while await self.waiting_messages(run_id):  # noqa: ASYNC110 - the queue is another process's
                await asyncio.sleep(PAUSE_SECONDS)

    async def waiting_messages(self, run_id: str) -> list[Any]:
        """Return the messages of the run that are still in the queue."""
        request = queue_service_pb2.ListMessagesRequest(queue=RUN_QUEUE, group=run_id)
        return list((await until_answered(self.queue.ListMessages, request)).messages)


def output(log: list[Event]) -> Any:
    """Return what a completed run returned; fails with the log of one that did not complete."""
    assert log[-1].HasField("run_completed"), log[-1]
    return json.loads(log[-1].run_completed.output.text)
