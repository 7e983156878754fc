"""What a failed or lost attempt of a step that went out means: by the policy in its record, not by anybody's code.

The counterpart of ``steps/outcomes.py`` for attempts whose definition is elsewhere: the same rules, read from the
step's entity. Pure: time and random source come in.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from holdfast.errors import RetryableError, StepTimeout
from holdfast.failures import to_failure
from holdfast.retry import RetryPolicy, next_delay_ms
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2
from runtime_service.tasks.limits import SILENCE_MS_DEFAULT, SILENCE_MS_MAX

Step = entity_pb2.Step
Failure = payload_pb2.Failure

#: Type of the failure that stands for an attempt which was given back: it uses up none of the policy's attempts.
RELEASED = "holdfast.Released"

_DEFAULT = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds an attempt. Epoch ms and ms; 0 is no bound, and never both of them are 0."""

    deadline_ms: int
    silence_ms: int


def bounds(step: Step, begin_ms: int) -> Bounds:
    """Return the bounds of an attempt that begins at ``begin_ms``."""
    ends = [end for end in (_attempt_end_ms(step, begin_ms), total_end_ms(step, begin_ms)) if end is not None]
    deadline_ms = min(ends, default=0)
    if step.HasField("heartbeat_timeout"):
        silence_ms = min(step.heartbeat_timeout.ToMilliseconds(), SILENCE_MS_MAX)
    elif not deadline_ms:
        silence_ms = SILENCE_MS_DEFAULT
    else:
        silence_ms = SILENCE_MS_MAX if deadline_ms - begin_ms > SILENCE_MS_MAX else 0
    return Bounds(deadline_ms, silence_ms)


def total_end_ms(step: Step, begin_ms: int) -> int | None:
    """Return when all attempts together time out, the first beginning at ``begin_ms`` at the latest; None for never."""
    if not step.HasField("total_timeout"):
        return None
    first_ms = step.start_time.ToMilliseconds() if step.HasField("start_time") else begin_ms
    return first_ms + step.total_timeout.ToMilliseconds()


def loss(step: Step, now_ms: int, *, spared: int) -> Failure | None:
    """Return what a running attempt failed with whose holder lost it; None when the next one simply follows.

    ``spared`` attempts were given back and do not count.
    """
    begin_ms = step.update_time.ToMilliseconds()
    if kind := _timed_out(step, begin_ms, now_ms):
        return _timeout(kind)
    if step.HasField("heartbeat_timeout"):
        return _timeout("heartbeat")
    if step.attempt - spared < _policy(step).max_attempts:
        return None
    return Failure(
        type="holdfast.AttemptLost",
        message=f"attempt {step.attempt} of step {step.step_name}, its last, ended with its worker {step.worker_id}",
        non_retryable=True,
        category=payload_pb2.FAILURE_CATEGORY_INTERNAL,
    )


def failed(
    step: Step,
    failure: Failure,
    *,
    now_ms: int,
    rng: random.Random,
    spared: int = 0,
    delay_ms: int | None = None,
    details: payload_pb2.Payload | None = None,
) -> event_pb2.Event:
    """Build what follows the running attempt's failure: step_retrying while the policy allows it, else step_failed.

    ``delay_ms`` sets the delay in place of the policy. A retry beyond the total bound is not waited for.
    """
    wait_ms = _delay_ms(step, failure, spared, delay_ms, rng)
    if wait_ms is None:
        return _ended(step, failure, now_ms)
    total_ms = total_end_ms(step, now_ms)
    if total_ms is not None and now_ms + wait_ms >= total_ms:
        return _ended(step, timeout_of_all(failure), now_ms)
    return retrying(step, failure, now_ms=now_ms, retry_ms=now_ms + wait_ms, details=details)


def retrying(
    step: Step, failure: Failure, *, now_ms: int, retry_ms: int, details: payload_pb2.Payload | None
) -> event_pb2.Event:
    """Build the fact that another attempt follows the running one, from ``retry_ms`` on."""
    event = _event(step, now_ms)
    event.step_retrying.attempt = step.attempt
    event.step_retrying.failure.CopyFrom(failure)
    event.step_retrying.retry_time.FromMilliseconds(retry_ms)
    if details is not None:
        event.step_retrying.heartbeat_details.CopyFrom(details)
    return event


def timeout_of_all(cause: Failure | None = None) -> Failure:
    """Build the failure of a step whose attempts together took too long."""
    failure = _timeout("total")
    failure.non_retryable = True
    if cause is not None:
        failure.cause.CopyFrom(cause)
    return failure


def released(reason: str) -> Failure:
    """Build what an attempt that was given back is recorded with."""
    return Failure(type=RELEASED, message=reason, category=payload_pb2.FAILURE_CATEGORY_CANCELLED)


def _delay_ms(step: Step, failure: Failure, spared: int, delay_ms: int | None, rng: random.Random) -> int | None:
    is_final = failure.non_retryable or failure.type in step.retry_policy.non_retryable_types
    if is_final:
        return None
    error = Exception() if delay_ms is None else RetryableError("", retry_after=delay_ms / 1000)
    return next_delay_ms(_policy(step), max(1, step.attempt - spared), error, rng)


def _policy(step: Step) -> RetryPolicy:
    """Read the policy in force: what is not recorded is the default."""
    told = step.retry_policy
    initial = told.initial_interval if told.HasField("initial_interval") else None
    longest = told.max_interval if told.HasField("max_interval") else None
    initial_ms = _DEFAULT.initial_interval_ms if initial is None else initial.ToMilliseconds()
    longest_ms = _DEFAULT.max_interval_ms if longest is None else longest.ToMilliseconds()
    return RetryPolicy(
        max_attempts=told.max_attempts or _DEFAULT.max_attempts,
        initial_interval=initial_ms / 1000,
        backoff=told.backoff_coefficient or _DEFAULT.backoff,
        max_interval=max(initial_ms, longest_ms) / 1000,
        jitter=told.jitter if told.HasField("jitter") else _DEFAULT.jitter,
    )


def _timed_out(step: Step, begin_ms: int, now_ms: int) -> str:
    ends = {"attempt": _attempt_end_ms(step, begin_ms), "total": total_end_ms(step, begin_ms)}
    passed = [(end, kind) for kind, end in ends.items() if end is not None and end <= now_ms]
    return min(passed)[1] if passed else ""


def _attempt_end_ms(step: Step, begin_ms: int) -> int | None:
    return begin_ms + step.attempt_timeout.ToMilliseconds() if step.HasField("attempt_timeout") else None


def _timeout(kind: str) -> Failure:
    failure = to_failure(StepTimeout(kind), category=payload_pb2.FAILURE_CATEGORY_TIMEOUT)
    # Without it the delay of a timeout of all attempts would be asked for, and given.
    failure.non_retryable = kind == "total"
    return failure


def _ended(step: Step, failure: Failure, now_ms: int) -> event_pb2.Event:
    event = _event(step, now_ms)
    event.step_failed.attempt = step.attempt
    event.step_failed.failure.CopyFrom(failure)
    return event


def _event(step: Step, now_ms: int) -> event_pb2.Event:
    event = event_pb2.Event(correlation_id=step.step_id)
    event.occur_time.FromMilliseconds(now_ms)
    return event
