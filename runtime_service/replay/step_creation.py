"""The ``step_created`` event of a call: what a definition says, put into the contract's words.

What is the same for every call of a step is built once per definition. Pure.
"""

from __future__ import annotations

from functools import lru_cache

from google.protobuf import duration_pb2

from holdfast.context import StepCall
from holdfast.definitions import StepDefinition
from holdfast.retry import RetryPolicy
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.replay.limits import SOURCE_CHARS_MAX


def step_created(step_id: str, call: StepCall) -> event_pb2.Event:
    """Build the event; its input is a copy of the call's."""
    event = event_pb2.Event(correlation_id=step_id)
    event.step_created.CopyFrom(_template(call.definition))
    event.step_created.input.CopyFrom(call.input)
    # The end tells the file and the line; a path alone may be longer than what the store takes.
    event.step_created.source = call.source[-SOURCE_CHARS_MAX:]
    return event


@lru_cache(maxsize=1024)
def _template(definition: StepDefinition) -> event_pb2.StepCreated:
    return event_pb2.StepCreated(
        step_name=definition.name,
        retry_policy=_policy(definition.retry),
        attempt_timeout=duration_of(definition.timeout_ms),
        heartbeat_timeout=duration_of(definition.heartbeat_timeout_ms),
        total_timeout=duration_of(definition.total_timeout_ms),
        queue=definition.queue,
    )


def _policy(policy: RetryPolicy) -> payload_pb2.RetryPolicy:
    return payload_pb2.RetryPolicy(
        max_attempts=policy.max_attempts,
        initial_interval=duration_of(policy.initial_interval_ms),
        backoff_coefficient=policy.backoff,
        max_interval=duration_of(policy.max_interval_ms),
        jitter=policy.jitter,
        non_retryable_types=[_type_name(it) for it in policy.non_retryable],
    )


def _type_name(error: type[BaseException]) -> str:
    return error.__qualname__ if error.__module__ == "builtins" else f"{error.__module__}.{error.__qualname__}"


def duration_of(milliseconds: int | None) -> duration_pb2.Duration | None:
    """Build a Duration; None, which leaves a field unset, for None."""
    if milliseconds is None:
        return None
    return duration_pb2.Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)
