"""Gets between the worker and its store: a test sees every write before it is sent, and may be faster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from holdfast.errors import NotReady
from holdfast.v1 import event_pb2, store_service_pb2
from runtime_service.server import RunningRuntime
from tests.support.store import Store

Request = store_service_pb2.CreateEventsRequest


def kinds(request: Request) -> list[str]:
    """The event kinds of a request, in order."""
    return [event.WhichOneof("attributes") or "" for event in request.events]


@contextmanager
def before_writes(runtime: RunningRuntime, meddle: Callable[[Request], Awaitable[None]]) -> Iterator[list[Request]]:
    """Call ``meddle`` before each write of the worker reaches the store; yields the writes that were sent."""
    store = runtime.worker.store
    real, sent = store.append, []

    async def append(request: Request) -> Any:
        copy = Request()
        copy.CopyFrom(request)
        await meddle(copy)
        sent.append(copy)
        return await real(request)

    store.append = append  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        store.append = real  # type: ignore[method-assign]


@contextmanager
def losing_replies(runtime: RunningRuntime, is_lost: Callable[[Request], bool]) -> Iterator[list[Request]]:
    """Let writes through but lose their first reply, as a cut connection would; yields the writes concerned."""
    store = runtime.worker.store
    real, lost = store.append, []

    async def append(request: Request) -> Any:
        answer = await real(request)
        if is_lost(request) and not any(request is other for other in lost):
            lost.append(request)
            raise NotReady("the connection was cut")
        return answer

    store.append = append  # type: ignore[method-assign]
    try:
        yield lost
    finally:
        store.append = real  # type: ignore[method-assign]


async def send_value(store: Store, token: str, text: str) -> event_pb2.Event:
    """Deliver a value to an open hook, straight to the store."""
    found = await store.client.events.GetHook(store_service_pb2.GetHookRequest(token=token))
    event = event_pb2.Event(correlation_id=found.hook.hook_id)
    event.hook_received.payload.text = text
    answer = await store.client.events.CreateEvent(
        store_service_pb2.CreateEventRequest(run_id=found.hook.run_id, event=event)
    )
    return answer.event


async def log_of(store: Store, run_id: str) -> list[event_pb2.Event]:
    """Read a whole log."""
    answer = await store.client.events.ListEvents(store_service_pb2.ListEventsRequest(run_id=run_id, page_size=1000))
    return list(answer.events)


def names(events: list[event_pb2.Event]) -> list[str]:
    """The kinds of events, in order."""
    return [event.WhichOneof("attributes") or "" for event in events]
