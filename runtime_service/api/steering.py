"""CancelRun, WakeRun and ResumeHook: how the outside changes what a run does.

Each is a fact, written without a snapshot, so it is never refused as stale; the store wakes the run in the same
transaction (``RunCreated.wake_queue``). A fact that comes too late is refused and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from holdfast.errors import EntityNotFound, IllegalTransition, RequestIdReused, RunNotFound, RunTerminal
from holdfast.limits import REASON_CHARS_MAX, TOKEN_CHARS_MAX
from holdfast.refusal import Refusal, invalid_field
from holdfast.tracing import NOBODY, Carrier
from holdfast.v1 import entity_pb2, error_pb2, event_pb2, payload_pb2, runtime_service_pb2, store_service_pb2
from runtime_service import spans
from runtime_service.api import checks
from runtime_service.api.front import Front, has_ended
from runtime_service.api.payloads import as_stored, check_schema, readable
from runtime_service.store import new_request_id
from runtime_service.worker.batch import committed
from runtime_service.worker.cancelling import cancel
from runtime_service.worker.hooks import HookAddress

ResumeRequest = runtime_service_pb2.ResumeHookRequest
ResumeResponse = runtime_service_pb2.ResumeHookResponse

#: How the store says that nobody reads the hook any more.
_CLOSED: Final = (IllegalTransition, RunTerminal, EntityNotFound, RunNotFound)

#: What a repeat may be told whose first try was accepted: the hook is closed by now, or its token is another's.
_PERHAPS_DONE: Final = (Refusal, EntityNotFound, RunNotFound, RequestIdReused)


async def cancel_run(
    front: Front, request: runtime_service_pb2.CancelRunRequest
) -> runtime_service_pb2.CancelRunResponse:
    """Ask a run to stop, or end it by force; with ``recursive`` its child runs too."""
    checks.check_run_id(request.run_id)
    checks.check_text(request.reason, "reason", chars_max=REASON_CHARS_MAX)
    return await cancel(front.worker, request)


async def wake_run(front: Front, request: runtime_service_pb2.WakeRunRequest) -> runtime_service_pb2.WakeRunResponse:
    """Queue a replay of a run now; with ``skip_waits`` its pending waits fire first. Refuses an ended run."""
    checks.check_run_id(request.run_id)
    run = await front.run(request.run_id, payload_pb2.PAYLOAD_VIEW_OMITTED)
    if has_ended(run):
        raise _already_ended(run)
    fired = await _fire_waits(front, request.run_id) if request.skip_waits else 0
    if fired and run.wake_queue:
        return runtime_service_pb2.WakeRunResponse(fired_count=fired)
    message_id = await front.store.wake(request.run_id, run.wake_queue)
    return runtime_service_pb2.WakeRunResponse(message_id=message_id, fired_count=fired)


async def _fire_waits(front: Front, run_id: str) -> int:
    """Fire each pending wait by a fact of its own: one that fires by itself in between must not hold up the others."""
    fired = 0
    for wait in await _pending_waits(front, run_id):
        event = event_pb2.Event(correlation_id=wait.wait_id, wait_completed=event_pb2.WaitCompleted())
        try:
            await front.store.create(store_service_pb2.CreateEventRequest(run_id=run_id, event=event))
        except RunTerminal:
            break
        except IllegalTransition:
            continue
        fired += 1
    return fired


async def _pending_waits(front: Front, run_id: str) -> Iterable[entity_pb2.Wait]:
    waits: list[entity_pb2.Wait] = []
    token = ""
    while True:
        request = store_service_pb2.ListWaitsRequest(
            run_id=run_id, page_size=1000, page_token=token, statuses=[entity_pb2.WAIT_STATUS_PENDING]
        )
        page: store_service_pb2.ListWaitsResponse = await front.store.call(front.store.events.ListWaits, request)
        waits.extend(page.waits)
        token = page.next_page_token
        if not token:
            return waits


async def resume_hook(front: Front, request: ResumeRequest, sender: Carrier = NOBODY) -> ResumeResponse:
    """Send a value to an open hook. One that is closed, or whose run is over, is NOT_FOUND: nobody would read it.

    ``sender`` is the trace context of whoever sends it.
    """
    _check_resume(request)
    payload = as_stored(request.payload, "payload")
    received = event_pb2.Event(trace_context=sender, hook_received=event_pb2.HookReceived(payload=payload))
    answer = await _resume(front, request, received)
    if spans.are_made() and not answer.deduplicated:
        spans.hook_received(await _first_event(front, answer.hook.run_id), answer.hook, answer.event, sender)
    return answer


async def _resume(front: Front, request: ResumeRequest, received: event_pb2.Event) -> ResumeResponse:
    try:
        return await _resume_open(front, request, received)
    except _PERHAPS_DONE:
        earlier = await _hook_of_first_try(front, request)
        if earlier is None:
            raise
    return await _deliver(front, request, received, earlier)


async def _resume_open(front: Front, request: ResumeRequest, received: event_pb2.Event) -> ResumeResponse:
    """Send the value to the hook that the target names now."""
    seen_here = front.worker.hooks.find(request.token)
    if seen_here is not None:
        try:
            return await _deliver(front, request, received, seen_here)
        except (*_CLOSED, Refusal):
            # Perhaps the hook is closed, or the token has moved on to one that takes other values: the store knows.
            front.worker.hooks.forget(request.token)
    address = await _hook_of_target(front, request)
    try:
        return await _deliver(front, request, received, address)
    except _CLOSED:
        raise _hook_not_found(request) from None


async def _deliver(
    front: Front, request: ResumeRequest, received: event_pb2.Event, address: HookAddress
) -> ResumeResponse:
    payload = readable(received.hook_received.payload, front.store.sealing, "payload")
    await check_schema(payload, address.payload_schema, "payload")
    event = event_pb2.Event(correlation_id=address.hook_id)
    event.MergeFrom(received)
    create = store_service_pb2.CreateEventRequest(
        run_id=address.run_id, event=event, request_id=request.request_id or new_request_id()
    )
    answer = await front.store.create(create)
    front.worker.feed.tell(committed(create.event, answer.event))
    return ResumeResponse(hook=answer.hook, event=answer.event, deduplicated=answer.deduplicated)


def _check_resume(request: ResumeRequest) -> None:
    target = request.WhichOneof("target")
    if target is None:
        raise invalid_field("target", "expected token, or hook_id with run_id")
    if target == "token":
        checks.check_text(request.token, "token", chars_max=TOKEN_CHARS_MAX, may_be_empty=False)
    else:
        checks.check_entity_id(request.hook_id, "hook_id")
        checks.check_run_id(request.run_id)
    checks.check_request_id(request.request_id)


async def _hook_of_first_try(front: Front, request: ResumeRequest) -> HookAddress | None:
    """Return the hook that an earlier try of this very call wrote to; None when there was none.

    A repeat may find its hook closed, or the token with another run, because its first try did its work and only the
    answer got lost, perhaps with the process. The store knows: it remembers what a request id wrote.
    """
    if not request.request_id:
        return None
    asked = store_service_pb2.GetEventRequest(request_id=request.request_id, view=payload_pb2.PAYLOAD_VIEW_OMITTED)
    try:
        event = (await front.store.call(front.store.events.GetEvent, asked)).event
        if not event.HasField("hook_received"):
            return None
        lookup = store_service_pb2.GetHookRequest()
        lookup.ref.run_id, lookup.ref.hook_id = event.run_id, event.correlation_id
        hook = (await front.store.call(front.store.events.GetHook, lookup)).hook
    except (EntityNotFound, RunNotFound):
        return None
    is_named = hook.token == request.token if request.token else hook.hook_id == request.hook_id
    return HookAddress(hook.run_id, hook.hook_id, hook.payload_schema) if is_named else None


async def _hook_of_target(front: Front, request: ResumeRequest) -> HookAddress:
    lookup = store_service_pb2.GetHookRequest()
    if request.WhichOneof("target") == "token":
        lookup.token = request.token
    else:
        lookup.ref.run_id, lookup.ref.hook_id = request.run_id, request.hook_id
    answer: store_service_pb2.GetHookResponse = await front.store.call(front.store.events.GetHook, lookup)
    return HookAddress(answer.hook.run_id, answer.hook.hook_id, answer.hook.payload_schema)


async def _first_event(front: Front, run_id: str) -> event_pb2.Event:
    asked = store_service_pb2.ListEventsRequest(run_id=run_id, page_size=1, view=payload_pb2.PAYLOAD_VIEW_OMITTED)
    page: store_service_pb2.ListEventsResponse = await front.store.call(front.store.events.ListEvents, asked)
    return page.events[0]


def _hook_not_found(request: ResumeRequest) -> Refusal:
    shown = f"the token {request.token}" if request.token else f"the id {request.hook_id} in run {request.run_id}"
    return Refusal(
        "ENTITY_NOT_FOUND",
        f"no open hook with {shown}: it was closed, or its run has ended",
        metadata={"token": request.token} if request.token else {"run_id": request.run_id, "hook_id": request.hook_id},
    )


def _already_ended(run: entity_pb2.Run) -> Refusal:
    status = entity_pb2.RunStatus.Name(run.status)
    return Refusal(
        "RUN_TERMINAL",
        f"run {run.run_id} has ended as {status}: there is nothing to wake",
        metadata={"run_id": run.run_id, "current_status": status},
        detail=error_pb2.IllegalTransition(run_id=run.run_id, current_status=status, current_seq=run.guard.head_seq),
    )
