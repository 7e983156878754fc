"""What the ending of an attempt means: done, try again later, or failed for good.

Pure: the time and the random source come in. The whole retry policy of a step is decided here, on top of
``holdfast/retry.py`` which computes one delay. Only starts count as attempts; nothing here is ever called for
trouble with the store (hazard 17). Read ``runner.py`` for where endings come from.
"""

from __future__ import annotations

import random
from typing import Final

from holdfast.errors import LimitExceeded, SerializationError, StepTimeout
from holdfast.failures import to_failure
from holdfast.retry import next_delay_ms
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.replay.clock import stamp_of
from runtime_service.steps.attempt import Attempt

#: Errors of holdfast itself → who is to blame, and that no retry can help.
_CATEGORIES: Final[tuple[tuple[type[BaseException], payload_pb2.FailureCategory.ValueType], ...]] = (
    (StepTimeout, payload_pb2.FAILURE_CATEGORY_TIMEOUT),
    (LimitExceeded, payload_pb2.FAILURE_CATEGORY_LIMIT),
)


def completed(attempt: Attempt, output: payload_pb2.Payload, now_ms: int) -> event_pb2.Event:
    """Build the fact that the step returned."""
    completed = event_pb2.StepCompleted(attempt=attempt.attempt, output=output)
    return event_pb2.Event(correlation_id=attempt.step_id, occur_time=stamp_of(now_ms), step_completed=completed)


def failed(attempt: Attempt, failure: payload_pb2.Failure, now_ms: int) -> event_pb2.Event:
    """Build the fact that the step failed for good; the failure says so, whatever it said before."""
    event = _event(attempt, now_ms)
    event.step_failed.attempt = attempt.attempt
    event.step_failed.failure.CopyFrom(failure)
    return event


def cancelled(attempt: Attempt, reason: str, now_ms: int) -> event_pb2.Event:
    """Build the fact that the attempt was called off."""
    failure = payload_pb2.Failure(
        type="CancelledError",
        message=reason,
        non_retryable=True,
        category=payload_pb2.FAILURE_CATEGORY_CANCELLED,
    )
    return failed(attempt, failure, now_ms)


def unusable(attempt: Attempt, error: BaseException, now_ms: int) -> event_pb2.Event:
    """Build the failure of an attempt whose arguments or result cannot be encoded: no retry can mend it."""
    failure = to_failure(error, category=_category(error))
    failure.non_retryable = True
    return failed(attempt, failure, now_ms)


def raised(
    attempt: Attempt,
    error: BaseException,
    *,
    details: payload_pb2.Payload | None,
    now_ms: int,
    rng: random.Random,
) -> event_pb2.Event:
    """Build what follows an attempt that raised: ``step_retrying`` while the policy and the total bound allow it.

    A retry that could only begin after the total bound is not waited for: the step fails at once, by StepTimeout with
    the error as its cause.
    """
    if isinstance(error, SerializationError | LimitExceeded) or _is_total_timeout(error):
        return unusable(attempt, error, now_ms)
    delay_ms = next_delay_ms(attempt.definition.retry, attempt.attempt, error, rng)
    if delay_ms is None:
        return failed(attempt, to_failure(error, category=_category(error)), now_ms)
    total_ms = attempt.definition.total_timeout_ms
    if total_ms is not None and now_ms + delay_ms >= attempt.first_started_ms + total_ms:
        return unusable(attempt, _beyond_total(error), now_ms)
    return _retrying(attempt, error, details=details, now_ms=now_ms, delay_ms=delay_ms)


def _retrying(
    attempt: Attempt, error: BaseException, *, details: payload_pb2.Payload | None, now_ms: int, delay_ms: int
) -> event_pb2.Event:
    event = _event(attempt, now_ms)
    retrying = event.step_retrying
    retrying.attempt = attempt.attempt
    retrying.failure.CopyFrom(to_failure(error, category=_category(error)))
    retrying.retry_time.FromMilliseconds(now_ms + delay_ms)
    if details is not None:
        retrying.heartbeat_details.CopyFrom(details)
    return event


def _event(attempt: Attempt, now_ms: int) -> event_pb2.Event:
    return event_pb2.Event(correlation_id=attempt.step_id, occur_time=stamp_of(now_ms))


def _category(error: BaseException) -> payload_pb2.FailureCategory.ValueType:
    for kind, category in _CATEGORIES:
        if isinstance(error, kind):
            return category
    return payload_pb2.FAILURE_CATEGORY_APPLICATION


def _is_total_timeout(error: BaseException) -> bool:
    return isinstance(error, StepTimeout) and error.kind == "total"


def _beyond_total(error: BaseException) -> StepTimeout:
    timeout = StepTimeout("total")
    timeout.__cause__ = error
    return timeout
