"""Checks of what a create brings: one small function per kind of event, in a table.

Owns which fields of an event must be what, and the sizes of an event and of a batch. Fields are checked for the whole
request before any size, as the contract orders it. Payloads are brought into their stored form on the way, in place,
for which the request belongs to the server alone. Must never look at stored state: that is ``rules/append.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from holdfast.refusal import invalid_field
from holdfast.v1 import event_pb2, payload_pb2
from store_service import limits
from store_service.api import checks
from store_service.rules import payloads
from store_service.rules.kinds import KINDS, type_of

#: The path of a payload, and the payload.
Found = tuple[str, payload_pb2.Payload]

#: Causes of causes that a failure may have.
_CAUSES_MAX: Final = 32

#: Entries of a trace context: traceparent, tracestate, baggage, and room.
_TRACE_ENTRIES_MAX: Final = 16

#: Attempts of a step: an int32 on the wire, and a number that nobody waits for.
_ATTEMPTS_MAX: Final = 1_000_000


def check_events(events: Sequence[event_pb2.Event], field: Callable[[int], str]) -> list[Found]:
    """Check the fields of every event and bring its payloads into their stored form, in place; returns the payloads.

    ``field`` gives the path of an event by its index. Raises Refusal INVALID_FIELD.
    """
    found: list[Found] = []
    for index, event in enumerate(events):
        found += _check_event(event, field(index))
    return found


def check_sizes(events: Sequence[event_pb2.Event], found: Sequence[Found]) -> None:
    """Check number and sizes of checked events, and of the payloads found in them. Raises Refusal TOO_LARGE."""
    if len(events) > limits.BATCH_EVENTS_MAX:
        raise checks.too_large("batch_events", limits.BATCH_EVENTS_MAX, len(events), "events")
    for path, payload in found:
        check_payload_size(payload, path)
    total = sum(event.ByteSize() for event in events)
    if total > limits.BATCH_BYTES_MAX:
        raise checks.too_large("batch_bytes", limits.BATCH_BYTES_MAX, total, "the batch of events")


def check_payload_size(payload: payload_pb2.Payload, field: str) -> None:
    """Check the size of a payload in its stored form. Raises Refusal TOO_LARGE."""
    if payload.size_bytes > limits.PAYLOAD_BYTES_MAX:
        raise checks.too_large("payload_bytes", limits.PAYLOAD_BYTES_MAX, payload.size_bytes, field)


def _check_event(event: event_pb2.Event, field: str) -> list[Found]:
    arm = event.WhichOneof("attributes")
    if arm is None:
        raise invalid_field(f"{field}.attributes", f"is not set; set exactly one of {', '.join(sorted(ARMS))}")
    if arm not in ARMS:
        raise invalid_field(f"{field}.{arm}", "is written by the store only and never accepted from a client")
    if KINDS[type_of(event)].entity is not None:
        checks.identifier(event.correlation_id, f"{field}.correlation_id")
    elif event.correlation_id:
        raise invalid_field(f"{field}.correlation_id", f"is {checks.shown(event.correlation_id)}; {arm} has none")
    checks.time_ms(event, "occur_time", f"{field}.occur_time")
    checks.text(event.writer, f"{field}.writer", limits.WRITER_CHARS_MAX)
    if len(event.trace_context) > _TRACE_ENTRIES_MAX:
        raise invalid_field(f"{field}.trace_context", f"has more than {_TRACE_ENTRIES_MAX} entries")
    ARMS[arm](getattr(event, arm), f"{field}.{arm}")
    return payloads.normalise_event(event, field)


def _run_created(created: event_pb2.RunCreated, field: str) -> None:
    checks.text(created.workflow_name, f"{field}.workflow_name", limits.WORKFLOW_NAME_CHARS_MAX, is_required=True)
    checks.text(created.version, f"{field}.version", limits.VERSION_CHARS_MAX)
    checks.attributes(created.attributes, f"{field}.attributes")
    checks.positive_duration_ms(created, "timeout", f"{field}.timeout")
    checks.optional_identifier(created.parent_run_id, f"{field}.parent_run_id")
    checks.optional_identifier(created.root_run_id, f"{field}.root_run_id")
    if created.wake_queue:
        checks.queue_name(created.wake_queue, f"{field}.wake_queue")
    checks.time_ms(created, "start_time", f"{field}.start_time")


def _run_started(started: event_pb2.RunStarted, field: str) -> None:
    checks.text(started.runtime_id, f"{field}.runtime_id", limits.WRITER_CHARS_MAX)


def _run_failed(failed: event_pb2.RunFailed, field: str) -> None:
    _required_failure(failed, field)


def _reason(message: Any, field: str) -> None:
    checks.prose(message.reason, f"{field}.reason", limits.REASON_CHARS_MAX)


def _step_created(created: event_pb2.StepCreated, field: str) -> None:
    checks.text(created.step_name, f"{field}.step_name", limits.WORKFLOW_NAME_CHARS_MAX, is_required=True)
    if created.HasField("retry_policy"):
        _retry_policy(created.retry_policy, f"{field}.retry_policy")
    for name in ("attempt_timeout", "heartbeat_timeout", "total_timeout"):
        checks.positive_duration_ms(created, name, f"{field}.{name}")
    if created.queue:
        checks.queue_name(created.queue, f"{field}.queue")
    checks.prose(created.source, f"{field}.source", limits.REASON_CHARS_MAX)


def _retry_policy(policy: payload_pb2.RetryPolicy, field: str) -> None:
    checks.natural(policy.max_attempts, f"{field}.max_attempts")
    checks.duration_ms(policy, "initial_interval", f"{field}.initial_interval")
    checks.duration_ms(policy, "max_interval", f"{field}.max_interval")
    factor = policy.backoff_coefficient
    # 0 is what proto3 reads when nobody set it: the server default.
    if factor and not 1 <= factor < math.inf:
        raise invalid_field(f"{field}.backoff_coefficient", f"is {factor:g} and must be at least 1")
    if policy.HasField("jitter") and not 0 <= policy.jitter <= 1:
        raise invalid_field(f"{field}.jitter", f"is {policy.jitter:g} and must be between 0 and 1")
    for index, name in enumerate(policy.non_retryable_types):
        path = f"{field}.non_retryable_types[{index}]"
        checks.text(name, path, limits.WORKFLOW_NAME_CHARS_MAX, is_required=True)


def _step_started(started: event_pb2.StepStarted, field: str) -> None:
    _attempt(started, field)
    checks.text(started.worker_id, f"{field}.worker_id", limits.WRITER_CHARS_MAX)
    checks.text(started.task_id, f"{field}.task_id", limits.GROUP_CHARS_MAX)


def _step_completed(completed: event_pb2.StepCompleted, field: str) -> None:
    _attempt(completed, field)


def _step_failed(failed: event_pb2.StepFailed, field: str) -> None:
    _attempt(failed, field)
    _required_failure(failed, field)


def _step_retrying(retrying: event_pb2.StepRetrying, field: str) -> None:
    _attempt(retrying, field)
    _required_failure(retrying, field)
    if checks.time_ms(retrying, "retry_time", f"{field}.retry_time") is None:
        raise invalid_field(f"{field}.retry_time", "is not set; say when the next attempt may begin")


def _hook_created(created: event_pb2.HookCreated, field: str) -> None:
    checks.text(created.token, f"{field}.token", limits.TOKEN_CHARS_MAX)
    checks.enum(event_pb2.HookConflictPolicy, created.conflict_policy, f"{field}.conflict_policy")
    checks.time_ms(created, "expire_time", f"{field}.expire_time")
    checks.positive_duration_ms(created, "min_retention", f"{field}.min_retention")


def _wait_created(created: event_pb2.WaitCreated, field: str) -> None:
    if checks.time_ms(created, "resume_time", f"{field}.resume_time") is None:
        raise invalid_field(f"{field}.resume_time", "is not set; say when the wait ends")


def _attributes_set(changed: event_pb2.AttributesSet, field: str) -> None:
    checks.attributes(changed.set, f"{field}.set")
    for index, key in enumerate(changed.removed):
        checks.attribute_key(key, f"{field}.removed[{index}]")
        if key in changed.set:
            raise invalid_field(f"{field}.removed[{index}]", f"is {checks.shown(key)}, which is also in `set`")


def _patch_applied(patch: event_pb2.PatchApplied, field: str) -> None:
    checks.text(patch.name, f"{field}.name", limits.WORKFLOW_NAME_CHARS_MAX, is_required=True)
    checks.identifier(patch.call_id, f"{field}.call_id")


def _only_payloads(message: Any, field: str) -> None:
    """Nothing but payloads, which `payloads.normalise_event` checks, or nothing at all."""


def _attempt(message: Any, field: str) -> None:
    checks.natural(message.attempt, f"{field}.attempt")
    if message.attempt > _ATTEMPTS_MAX:
        raise invalid_field(f"{field}.attempt", f"is {message.attempt}, at most {_ATTEMPTS_MAX} may be")


def _required_failure(message: Any, field: str) -> None:
    if not message.HasField("failure"):
        raise invalid_field(f"{field}.failure", "is not set; say what went wrong")
    failure, path = message.failure, f"{field}.failure"
    for _ in range(_CAUSES_MAX):
        checks.enum(payload_pb2.FailureCategory, failure.category, f"{path}.category")
        if not failure.HasField("cause"):
            return
        failure, path = failure.cause, f"{path}.cause"
    raise invalid_field(f"{field}.failure", f"has more than {_CAUSES_MAX} causes of causes")


#: Arm of `Event.attributes` → check. All but hook_conflict, which the store alone writes; the tests hold it complete.
ARMS: Final[Mapping[str, Callable[[Any, str], None]]] = MappingProxyType(
    {
        "run_created": _run_created,
        "run_started": _run_started,
        "run_completed": _only_payloads,
        "run_failed": _run_failed,
        "run_cancelled": _reason,
        "run_cancel_requested": _reason,
        "step_created": _step_created,
        "step_started": _step_started,
        "step_completed": _step_completed,
        "step_failed": _step_failed,
        "step_retrying": _step_retrying,
        "hook_created": _hook_created,
        "hook_received": _only_payloads,
        "hook_disposed": _reason,
        "wait_created": _wait_created,
        "wait_completed": _only_payloads,
        "attributes_set": _attributes_set,
        "patch_applied": _patch_applied,
    }
)
