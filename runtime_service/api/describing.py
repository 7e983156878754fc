"""DescribeRun and GetRuntimeInfo: what a run waits for, why it is blocked, how this process does."""

from __future__ import annotations

import asyncio
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.errors import NotRegistered, ResourceNotFound
from holdfast.v1 import (
    entity_pb2,
    payload_pb2,
    queue_service_pb2,
    runtime_service_pb2,
    store_service_pb2,
)
from runtime_service.api import checks, limits
from runtime_service.api.front import Front
from runtime_service.names import BLOCKED_PREFIX, RUN_QUEUE
from runtime_service.worker.routing import workflow_of

#: Error names in front of a parked run's reason → category. Every other one is a fault of holdfast.
_BLOCKED_CATEGORIES: Final = {
    "ReplayDivergence": payload_pb2.FAILURE_CATEGORY_NONDETERMINISM,
    "NotDeterministic": payload_pb2.FAILURE_CATEGORY_NONDETERMINISM,
    "NotRegistered": payload_pb2.FAILURE_CATEGORY_APPLICATION,
}

_OPEN_STEPS: Final = (entity_pb2.STEP_STATUS_PENDING, entity_pb2.STEP_STATUS_RUNNING)


async def describe_run(
    front: Front, request: runtime_service_pb2.DescribeRunRequest
) -> runtime_service_pb2.DescribeRunResponse:
    """Read a run with what it waits for. The parts are read one after the other's start, not in one snapshot."""
    checks.check_run_id(request.run_id)
    checks.check_view(request.view)
    run = await front.run(request.run_id, request.view)
    steps, hooks, waits, failure = await asyncio.gather(
        _open_steps(front, request),
        _open_hooks(front, request),
        _open_waits(front, request),
        _last_replay_failure(front, run),
    )
    return runtime_service_pb2.DescribeRunResponse(
        run=run,
        open_steps=steps.steps,
        open_hooks=hooks.hooks,
        open_waits=waits.waits,
        truncated=bool(steps.next_page_token or hooks.next_page_token or waits.next_page_token),
        stale_snapshot_count=front.worker.counters.stale_by_run(request.run_id),
        last_replay_failure=failure,
    )


async def _open_steps(
    front: Front, request: runtime_service_pb2.DescribeRunRequest
) -> store_service_pb2.ListStepsResponse:
    page = store_service_pb2.ListStepsRequest(
        run_id=request.run_id,
        page_size=limits.OPEN_ENTITIES_MAX,
        statuses=_OPEN_STEPS,
        view=_view(request.view),
    )
    answer: store_service_pb2.ListStepsResponse = await front.store.call(front.store.events.ListSteps, page)
    return answer


async def _open_hooks(
    front: Front, request: runtime_service_pb2.DescribeRunRequest
) -> store_service_pb2.ListHooksResponse:
    page = store_service_pb2.ListHooksRequest(
        run_id=request.run_id,
        page_size=limits.OPEN_ENTITIES_MAX,
        statuses=[entity_pb2.HOOK_STATUS_OPEN],
        view=_view(request.view),
    )
    answer: store_service_pb2.ListHooksResponse = await front.store.call(front.store.events.ListHooks, page)
    return answer


async def _open_waits(
    front: Front, request: runtime_service_pb2.DescribeRunRequest
) -> store_service_pb2.ListWaitsResponse:
    page = store_service_pb2.ListWaitsRequest(
        run_id=request.run_id,
        page_size=limits.OPEN_ENTITIES_MAX,
        statuses=[entity_pb2.WAIT_STATUS_PENDING],
    )
    answer: store_service_pb2.ListWaitsResponse = await front.store.call(front.store.events.ListWaits, page)
    return answer


async def _last_replay_failure(front: Front, run: entity_pb2.Run) -> payload_pb2.Failure | None:
    """Read why the run is parked, from the wake message that waits for fixed code; None when it is not."""
    page = queue_service_pb2.ListMessagesRequest(
        queue=run.wake_queue or RUN_QUEUE, group=run.run_id, states=[queue_service_pb2.QUEUE_MESSAGE_STATE_READY]
    )
    listing = front.store.queue.ListMessages
    try:
        answer: queue_service_pb2.ListMessagesResponse = await front.store.call(listing, page)
    except ResourceNotFound:
        # Nobody was ever woken in that queue, as in a store whose runs were all written by hand.
        return None
    reasons = [message.last_reason for message in answer.messages if message.last_reason.startswith(BLOCKED_PREFIX)]
    if reasons:
        return blocked_failure(reasons[-1])
    is_due = any(message.deliver_time.ToMilliseconds() <= front.worker.clock() for message in answer.messages)
    return _other_version(front, run) if is_due else None


def _other_version(front: Front, run: entity_pb2.Run) -> payload_pb2.Failure | None:
    """Say that a run whose wake-up nobody takes is of a version that is not here."""
    try:
        workflow_of(front.worker.registry, run.workflow_name, run.version)
    except NotRegistered as error:
        return blocked_failure(f"{type(error).__name__}: {error}")
    return None


def blocked_failure(reason: str) -> payload_pb2.Failure:
    """Read a parked run's reason, "blocked: ErrorName: text", as a failure."""
    kind, _, message = reason.removeprefix(BLOCKED_PREFIX).partition(": ")
    return payload_pb2.Failure(
        type=kind if message else "",
        message=message or kind,
        category=_BLOCKED_CATEGORIES.get(kind, payload_pb2.FAILURE_CATEGORY_INTERNAL),
    )


def _view(view: payload_pb2.PayloadView.ValueType) -> payload_pb2.PayloadView.ValueType:
    """The default of this method is the stored form; that of the store's lists is not."""
    return view or payload_pb2.PAYLOAD_VIEW_STORED


def get_runtime_info(front: Front) -> runtime_service_pb2.GetRuntimeInfoResponse:
    """Describe this process. Asks nobody."""
    worker = front.worker
    now = Timestamp()
    now.FromMilliseconds(worker.clock())
    return runtime_service_pb2.GetRuntimeInfoResponse(
        server_version=front.server_version,
        runtime_id=front.runtime_id,
        store_id=front.store_id,
        active_replays=worker.active_replays,
        active_steps=worker.active_steps,
        draining=worker.is_draining or front.draining.is_set(),
        server_time=now,
        refusals=worker.counters.refusals,
        live_runs=worker.live_runs,
        namespace=front.namespace,
    )
