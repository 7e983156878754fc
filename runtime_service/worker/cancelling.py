"""Cancelling a run, alone or with the runs that it started.

A request to cancel is a fact, and so is the end by force; a run that has ended, or was asked already, is left as it
is. Used by ``CancelRun`` and by workflows that cancel their children. Recursion goes from parent to child: a parent
that was asked first starts no more children, but for one whose start is under way at that very moment.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from holdfast.errors import RunTerminal
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2, runtime_service_pb2, store_service_pb2
from runtime_service.store import Call, Store
from runtime_service.worker.batch import committed
from runtime_service.worker.feed import Feed

Request = runtime_service_pb2.CancelRunRequest
Response = runtime_service_pb2.CancelRunResponse

_OPEN: Final = (entity_pb2.RUN_STATUS_PENDING, entity_pb2.RUN_STATUS_RUNNING)


class Home(Protocol):
    """The worker, as far as it is needed here."""

    store: Store
    feed: Feed


async def cancel(home: Home, request: Request) -> Response:
    """Ask a run to stop, or end it by force; with ``recursive`` every run below it too. Raises RunNotFound."""
    answer = await _cancel_one(home, request, request.run_id)
    parents = deque([request.run_id] if request.recursive else [])
    while parents:
        for child in await _children(home.store, parents.popleft()):
            # Through ended ones too: a run that went on as its own child has ended, and what goes on is below it.
            parents.append(child.run_id)
            if child.status in _OPEN:
                await _cancel_one(home, request, child.run_id)
    return answer


async def read_run(store: Store, run_id: str) -> entity_pb2.Run:
    """Read a run with its payloads as stored. Raises RunNotFound."""
    request = store_service_pb2.GetRunRequest(run_id=run_id, view=payload_pb2.PAYLOAD_VIEW_STORED)
    get_run: Call[store_service_pb2.GetRunResponse] = store.events.GetRun
    return (await store.call(get_run, request)).run


async def _cancel_one(home: Home, request: Request, run_id: str) -> Response:
    run = await read_run(home.store, run_id)
    is_asked = run.cancel_requested and not request.force
    if run.status not in _OPEN or is_asked:
        return Response(run=run, cancelled=run.status in _OPEN)
    create = store_service_pb2.CreateEventRequest(run_id=run_id, event=_cancellation(request))
    try:
        answer = await home.store.create(create)
    except RunTerminal:
        return Response(run=await read_run(home.store, run_id), cancelled=False)
    home.feed.tell(committed(create.event, answer.event))
    return Response(run=answer.run, cancelled=True)


async def _children(store: Store, parent_run_id: str) -> list[entity_pb2.Run]:
    request = store_service_pb2.ListRunsRequest(
        parent_run_id=parent_run_id, page_size=1000, view=payload_pb2.PAYLOAD_VIEW_OMITTED
    )
    list_runs: Call[store_service_pb2.ListRunsResponse] = store.events.ListRuns
    found: list[entity_pb2.Run] = []
    while True:
        page = await store.call(list_runs, request)
        found.extend(page.runs)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


def _cancellation(request: Request) -> event_pb2.Event:
    if request.force:
        return event_pb2.Event(run_cancelled=event_pb2.RunCancelled(reason=request.reason))
    return event_pb2.Event(run_cancel_requested=event_pb2.RunCancelRequested(reason=request.reason))
