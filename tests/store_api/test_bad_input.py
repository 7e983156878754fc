"""Bad input: the field that is wrong is named, nothing is written, and the next good call works.

One table for events, one for the other calls. Each case is the smallest thing that makes an otherwise good request bad.
"""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.v1 import event_pb2, payload_pb2
from holdfast.v1 import queue_service_pb2 as queue_api
from holdfast.v1 import store_service_pb2 as api
from store_service.api import event_checks
from tests.support.store import Store, add, create_run, fingerprint, refused

RUN = "order-1"
LONG = "x" * 600
BAD_JSON = {"text": "{not json"}
FAILURE = {"type": "ValueError", "message": "no"}

#: Arm → (id, fields of the arm, path that is named below `event.`). At least one for each arm that can be wrong.
EVENTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("run_created", "", {}, "run_created.workflow_name"),
    ("run_created", "", {"workflow_name": LONG}, "run_created.workflow_name"),
    ("run_created", "", {"workflow_name": "a\nb"}, "run_created.workflow_name"),
    ("run_created", "", {"workflow_name": "w", "version": LONG}, "run_created.version"),
    ("run_created", "", {"workflow_name": "w", "timeout": {"seconds": -1}}, "run_created.timeout"),
    ("run_created", "", {"workflow_name": "w", "timeout": {}}, "run_created.timeout"),
    ("run_created", "", {"workflow_name": "w", "parent_run_id": "a b"}, "run_created.parent_run_id"),
    ("run_created", "", {"workflow_name": "w", "wake_queue": "Not A Queue"}, "run_created.wake_queue"),
    ("run_created", "", {"workflow_name": "w", "start_time": {"seconds": -1}}, "run_created.start_time"),
    ("run_created", "", {"workflow_name": "w", "input": BAD_JSON}, "run_created.input.text"),
    ("run_created", "", {"workflow_name": "w", "attributes": {"": "v"}}, "run_created.attributes['']"),
    ("run_created", "", {"workflow_name": "w", "attributes": {"k": LONG}}, "run_created.attributes['k']"),
    ("run_created", "step_1", {"workflow_name": "w"}, "correlation_id"),
    ("run_started", "", {"runtime_id": LONG}, "run_started.runtime_id"),
    ("run_completed", "", {"output": BAD_JSON}, "run_completed.output.text"),
    ("run_completed", "", {"output": {"value": {"number_value": float("nan")}}}, "run_completed.output.value"),
    ("run_failed", "", {}, "run_failed.failure"),
    ("run_failed", "", {"failure": {"category": 99}}, "run_failed.failure.category"),
    ("run_failed", "", {"failure": {"cause": {"details": BAD_JSON}}}, "run_failed.failure.cause.details.text"),
    ("run_cancelled", "", {"reason": LONG}, "run_cancelled.reason"),
    ("run_cancel_requested", "", {"reason": LONG}, "run_cancel_requested.reason"),
    ("step_created", "", {"step_name": "s"}, "correlation_id"),
    ("step_created", "step 1", {"step_name": "s"}, "correlation_id"),
    ("step_created", "x" * 257, {"step_name": "s"}, "correlation_id"),
    ("step_created", "step_1\n", {"step_name": "s"}, "correlation_id"),
    ("step_created", "s", {}, "step_created.step_name"),
    ("step_created", "s", {"step_name": "s", "input": BAD_JSON}, "step_created.input.text"),
    ("step_created", "s", {"step_name": "s", "queue": "A"}, "step_created.queue"),
    ("step_created", "s", {"step_name": "s", "source": LONG}, "step_created.source"),
    ("step_created", "s", {"step_name": "s", "attempt_timeout": {"nanos": -1}}, "step_created.attempt_timeout"),
    ("step_created", "s", {"step_name": "s", "heartbeat_timeout": {}}, "step_created.heartbeat_timeout"),
    ("step_created", "s", {"step_name": "s", "total_timeout": {"seconds": 10**12}}, "step_created.total_timeout"),
    (
        "step_created",
        "s",
        {"step_name": "s", "retry_policy": {"max_attempts": -1}},
        "step_created.retry_policy.max_attempts",
    ),
    (
        "step_created",
        "s",
        {"step_name": "s", "retry_policy": {"backoff_coefficient": 0.5}},
        "step_created.retry_policy.backoff_coefficient",
    ),
    (
        "step_created",
        "s",
        {"step_name": "s", "retry_policy": {"backoff_coefficient": float("nan")}},
        "step_created.retry_policy.backoff_coefficient",
    ),
    (
        "step_created",
        "s",
        {"step_name": "s", "retry_policy": {"initial_interval": {"seconds": -1}}},
        "step_created.retry_policy.initial_interval",
    ),
    ("step_started", "s", {"attempt": -1}, "step_started.attempt"),
    ("step_started", "s", {"attempt": 1, "worker_id": LONG}, "step_started.worker_id"),
    ("step_completed", "s", {"attempt": -1}, "step_completed.attempt"),
    ("step_completed", "s", {"output": BAD_JSON}, "step_completed.output.text"),
    ("step_failed", "s", {}, "step_failed.failure"),
    ("step_retrying", "s", {"failure": FAILURE}, "step_retrying.retry_time"),
    ("step_retrying", "s", {"retry_time": {"seconds": 1}}, "step_retrying.failure"),
    ("hook_created", "h", {"token": LONG}, "hook_created.token"),
    ("hook_created", "h", {"conflict_policy": 99}, "hook_created.conflict_policy"),
    ("hook_created", "h", {"expire_time": {"nanos": -1}}, "hook_created.expire_time"),
    ("hook_received", "h", {"payload": BAD_JSON}, "hook_received.payload.text"),
    ("hook_received", "h", {"payload": {"value": {}}}, "hook_received.payload.value"),
    ("hook_disposed", "h", {"reason": LONG}, "hook_disposed.reason"),
    ("hook_conflict", "h", {}, "hook_conflict"),
    ("wait_created", "w", {}, "wait_created.resume_time"),
    ("wait_created", "w", {"resume_time": {"seconds": 10**12}}, "wait_created.resume_time"),
    ("wait_completed", "", {}, "correlation_id"),
    ("attributes_set", "", {"set": {"k": LONG}}, "attributes_set.set['k']"),
    ("attributes_set", "", {"set": {"k": "v"}, "removed": ["k"]}, "attributes_set.removed[0]"),
    ("attributes_set", "", {"removed": [""]}, "attributes_set.removed[0]"),
    ("patch_applied", "", {"call_id": "patch_a#1"}, "patch_applied.name"),
    ("patch_applied", "", {"name": "a"}, "patch_applied.call_id"),
    ("patch_applied", "", {"name": "a", "call_id": "no id"}, "patch_applied.call_id"),
]


@pytest.mark.parametrize(("arm", "entity_id", "fields", "path"), EVENTS)
async def test_a_malformed_event_is_named_by_its_field_and_leaves_no_trace(
    store: Store, arm: str, entity_id: str, fields: dict[str, Any], path: str
) -> None:
    event = event_pb2.Event(correlation_id=entity_id, **{arm: fields})
    if arm != "run_created":
        await create_run(store.client, RUN)
    before = await fingerprint(store.engine)
    with refused("INVALID_FIELD") as refusal:
        await add(store.client, RUN, event)
    assert refusal.field == f"event.{path}"
    assert f"event.{path}" in refusal.message
    assert await fingerprint(store.engine) == before


def test_every_arm_has_a_check_and_a_bad_example() -> None:
    arms = {field.name for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["attributes"].fields}
    assert set(event_checks.ARMS) == arms - {"hook_conflict"}
    assert {arm for arm, *_ in EVENTS} == arms


def create(**fields: Any) -> api.CreateEventsRequest:
    return api.CreateEventsRequest(**{"run_id": RUN, "events": [{"run_started": {}}], **fields})


MANY = {"correlation_id": "h", "hook_created": {}}

#: Stub, method, request, field. The run `order-1` exists.
CALLS: list[tuple[str, str, Any, str]] = [
    ("events", "CreateEvents", create(events=[]), "events"),
    ("events", "CreateEvents", create(run_id=""), "run_id"),
    ("events", "CreateEvents", create(run_id="a b"), "run_id"),
    ("events", "CreateEvents", create(events=[{"run_started": {}}, {}]), "events[1].attributes"),
    (
        "events",
        "CreateEvents",
        create(events=[{"run_started": {}}, {"correlation_id": "s", "step_created": {}}]),
        "events[1].step_created.step_name",
    ),
    (
        "events",
        "CreateEvents",
        create(events=[{"run_started": {}}, {"run_created": {"workflow_name": "w"}}]),
        "events[1].run_created",
    ),
    ("events", "CreateEvents", create(state_updated_at=-1), "state_updated_at"),
    ("events", "CreateEvents", create(state_seq=-1), "state_seq"),
    ("events", "CreateEvents", create(delta_after_seq=-1), "delta_after_seq"),
    ("events", "CreateEvents", create(request_id=LONG), "request_id"),
    ("events", "CreateEvents", create(view=99), "view"),
    ("events", "CreateEvents", create(messages=[{"queue": "A"}]), "messages[0].queue"),
    ("events", "CreateEvents", create(messages=[{"queue": "a", "payload": BAD_JSON}]), "messages[0].payload.text"),
    ("events", "CreateEvents", create(ack_receipts=[""]), "ack_receipts[0]"),
    ("events", "CreateEvents", create(held_receipts=[LONG]), "held_receipts[0]"),
    ("events", "CreateEvent", api.CreateEventRequest(run_id=RUN), "event.attributes"),
    (
        "events",
        "CreateEvents",
        create(events=[{"run_started": {}, "occur_time": {"seconds": -5}}]),
        "events[0].occur_time",
    ),
    ("events", "CreateEvents", create(events=[{"run_started": {}, "writer": LONG}]), "events[0].writer"),
    ("events", "GetEvent", api.GetEventRequest(run_id=RUN), "position"),
    ("events", "GetEvent", api.GetEventRequest(run_id=RUN, seq=0), "seq"),
    ("events", "GetEvent", api.GetEventRequest(run_id="", seq=1), "run_id"),
    ("events", "GetEvent", api.GetEventRequest(request_id=""), "request_id"),
    ("events", "GetEvent", api.GetEventRequest(run_id="no spaces", request_id="r"), "run_id"),
    ("events", "ListEvents", api.ListEventsRequest(run_id=RUN, page_size=-1), "page_size"),
    ("events", "ListEvents", api.ListEventsRequest(run_id=RUN, after_seq=-1), "after_seq"),
    ("events", "ListEvents", api.ListEventsRequest(run_id=RUN, after_seq=1, cursor="c"), "after_seq"),
    ("events", "ListEvents", api.ListEventsRequest(run_id=RUN, types=[0]), "types[0]"),
    ("events", "ListEvents", api.ListEventsRequest(run_id=RUN, order=9), "order"),
    ("events", "ListEvents", api.ListEventsRequest(run_id=RUN, view=9), "view"),
    ("events", "GetRun", api.GetRunRequest(), "run_id"),
    ("events", "ListRuns", api.ListRunsRequest(page_size=-1), "page_size"),
    ("events", "ListRuns", api.ListRunsRequest(statuses=[99]), "statuses[0]"),
    ("events", "ListRuns", api.ListRunsRequest(create_time_from={"seconds": -1}), "create_time_from"),
    ("events", "ListRuns", api.ListRunsRequest(parent_run_id="a b"), "parent_run_id"),
    ("events", "DeleteRuns", api.DeleteRunsRequest(), "run_ids"),
    ("events", "DeleteRuns", api.DeleteRunsRequest(run_ids=[RUN, "a b"]), "run_ids[1]"),
    ("events", "GetStep", api.GetStepRequest(run_id=RUN), "step_id"),
    ("events", "ListSteps", api.ListStepsRequest(run_id=RUN, statuses=[0]), "statuses[0]"),
    ("events", "GetHook", api.GetHookRequest(), "selector"),
    ("events", "GetHook", api.GetHookRequest(token=""), "token"),
    ("events", "GetHook", api.GetHookRequest(ref={"run_id": RUN}), "ref.hook_id"),
    ("events", "ListHooks", api.ListHooksRequest(page_size=-1), "page_size"),
    ("events", "GetWait", api.GetWaitRequest(run_id=RUN), "wait_id"),
    ("events", "ListWaits", api.ListWaitsRequest(resume_time_until={"nanos": -1}), "resume_time_until"),
    ("queue", "Enqueue", queue_api.EnqueueRequest(), "message.queue"),
    ("queue", "Enqueue", queue_api.EnqueueRequest(message={"queue": "x" * 129}), "message.queue"),
    ("queue", "Enqueue", queue_api.EnqueueRequest(message={"queue": "q", "priority": 101}), "message.priority"),
    (
        "queue",
        "Enqueue",
        queue_api.EnqueueRequest(message={"queue": "q", "max_deliveries": -1}),
        "message.max_deliveries",
    ),
    ("queue", "Enqueue", queue_api.EnqueueRequest(message={"queue": "q", "group": LONG}), "message.group"),
    (
        "queue",
        "Enqueue",
        queue_api.EnqueueRequest(message={"queue": "q", "idempotency_key": LONG}),
        "message.idempotency_key",
    ),
    (
        "queue",
        "Enqueue",
        queue_api.EnqueueRequest(message={"queue": "q", "deliver_time": {"seconds": -1}}),
        "message.deliver_time",
    ),
    ("queue", "EnqueueBatch", queue_api.EnqueueBatchRequest(), "messages"),
    ("queue", "EnqueueBatch", queue_api.EnqueueBatchRequest(messages=[{"queue": "q"}, {}]), "messages[1].queue"),
    ("queue", "ReceiveMessages", queue_api.ReceiveMessagesRequest(), "queues"),
    ("queue", "ReceiveMessages", queue_api.ReceiveMessagesRequest(queues=["q"], max_messages=-1), "max_messages"),
    ("queue", "ReceiveMessages", queue_api.ReceiveMessagesRequest(queues=["q"], wait={"seconds": 61}), "wait"),
    ("queue", "ReceiveMessages", queue_api.ReceiveMessagesRequest(queues=["q"], wait={"seconds": -1}), "wait"),
    ("queue", "ReceiveMessages", queue_api.ReceiveMessagesRequest(queues=["q"], lease_duration={}), "lease_duration"),
    (
        "queue",
        "ReceiveMessages",
        queue_api.ReceiveMessagesRequest(queues=["q"], lease_duration={"seconds": 3601}),
        "lease_duration",
    ),
    ("queue", "AckMessages", queue_api.AckMessagesRequest(), "receipts"),
    ("queue", "NackMessages", queue_api.NackMessagesRequest(receipts=["r"], action=9), "action"),
    ("queue", "NackMessages", queue_api.NackMessagesRequest(receipts=["r"], delay={"seconds": -1}), "delay"),
    ("queue", "NackMessages", queue_api.NackMessagesRequest(receipts=["r"], reason=LONG), "reason"),
    ("queue", "ExtendLeases", queue_api.ExtendLeasesRequest(receipts=["r"], lease_duration={}), "lease_duration"),
    ("queue", "GetQueue", queue_api.GetQueueRequest(), "queue"),
    ("queue", "ListQueues", queue_api.ListQueuesRequest(page_size=-1), "page_size"),
    ("queue", "ListMessages", queue_api.ListMessagesRequest(queue="q", states=[0]), "states[0]"),
    ("queue", "RedriveMessages", queue_api.RedriveMessagesRequest(queue="q", message_ids=[""]), "message_ids[0]"),
]


@pytest.mark.parametrize(("stub", "method", "request_message", "path"), CALLS)
async def test_a_malformed_call_is_named_by_its_field_and_leaves_no_trace(
    store: Store, stub: str, method: str, request_message: Any, path: str
) -> None:
    await create_run(store.client, RUN, is_started=False)
    before = await fingerprint(store.engine)
    with refused("INVALID_FIELD") as refusal:
        await getattr(getattr(store.client, stub), method)(request_message)
    assert refusal.field == path
    assert await fingerprint(store.engine) == before
    await add(store.client, RUN, event_pb2.Event(run_started=event_pb2.RunStarted()))


SIZES: list[tuple[str, str, Any, str]] = [
    ("events", "CreateEvents", create(events=[{"run_started": {}}] * 1001), "batch_events"),
    (
        "events",
        "CreateEvents",
        create(events=[{"run_completed": {"output": {"data": b"x" * (2 * 1024 * 1024 + 1), "content_type": "a/b"}}}]),
        "payload_bytes",
    ),
    (
        "events",
        "CreateEvents",
        create(events=[{"correlation_id": "h", "hook_received": {"payload": {"text": f'"{"x" * 1_100_000}"'}}}] * 3),
        "batch_bytes",
    ),
    ("events", "CreateEvents", create(messages=[{"queue": "q"}] * 501), "batch_messages"),
    ("events", "CreateEvents", create(ack_receipts=["r"] * 501), "receipts"),
    ("events", "DeleteRuns", api.DeleteRunsRequest(run_ids=["r"] * 501), "delete_runs"),
    ("queue", "AckMessages", queue_api.AckMessagesRequest(receipts=["r"] * 501), "receipts"),
    ("queue", "EnqueueBatch", queue_api.EnqueueBatchRequest(messages=[{"queue": "q"}] * 501), "batch_messages"),
    (
        "queue",
        "Enqueue",
        queue_api.EnqueueRequest(message={"queue": "q", "payload": {"text": f'"{"x" * (2 * 1024 * 1024)}"'}}),
        "payload_bytes",
    ),
]


@pytest.mark.parametrize(("stub", "method", "request_message", "limit"), SIZES)
async def test_what_is_too_large_is_told_with_the_limit_and_leaves_no_trace(
    store: Store, stub: str, method: str, request_message: Any, limit: str
) -> None:
    from holdfast.v1 import error_pb2

    await create_run(store.client, RUN, is_started=False)
    before = await fingerprint(store.engine)
    with refused("TOO_LARGE") as refusal:
        await getattr(getattr(store.client, stub), method)(request_message)
    detail = refusal.detail(error_pb2.LimitExceeded)
    assert detail.limit == limit and detail.actual > detail.max > 0
    assert await fingerprint(store.engine) == before


async def test_a_field_that_is_wrong_is_told_before_a_size_that_is_too_large(store: Store) -> None:
    events = [{"run_started": {}}] * 1001
    with refused("INVALID_FIELD") as refusal:
        await store.client.events.CreateEvents(create(events=[*events, {}]))
    assert refusal.field == "events[1001].attributes"


async def test_a_payload_of_exactly_the_limit_is_taken(store: Store) -> None:
    body = payload_pb2.Payload(data=b"x" * (2 * 1024 * 1024), content_type="application/octet-stream")
    created = await create_run(store.client, RUN, input=body)
    assert created.run.input.size_bytes == 2 * 1024 * 1024


async def test_bytes_that_are_no_message_are_answered_and_not_guessed(store: Store) -> None:
    call = store.client.channel.unary_unary("/holdfast.v1.StoreService/GetRun")
    with refused("INVALID_FIELD") as refusal:
        await call(b"\xff\xff\xff")
    assert refusal.field == "request"
