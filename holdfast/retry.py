"""How a failed step attempt is retried: the policy people write, and the pure rule that applies it.

Owns ``RetryPolicy`` and ``next_delay_ms``. Must never read a clock or draw from a random source of its own. The callers
are the runtime's step attempts.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from holdfast.durations import Duration, duration_ms
from holdfast.errors import FatalError, RetryableError

#: Attempts that a policy may ask for at most: a step that fails a million times should be two steps and a sleep.
ATTEMPTS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a failed step runs again.

    ``max_attempts`` counts the first one too; ``initial_interval`` and ``max_interval`` are durations; each delay is
    ``backoff`` times the one before and is spread by ``jitter`` (a fraction: 0.2 is ±20 %); ``non_retryable`` are
    exception classes (subclasses too) that end the step at once. Raises ValueError for anything else.
    """

    max_attempts: int = 4
    initial_interval: Duration = 1
    backoff: float = 2
    max_interval: Duration = 60
    jitter: float = 0.2
    non_retryable: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        _check(
            _is_count(self.max_attempts), "max_attempts", f"a whole number from 1 to {ATTEMPTS_MAX}", self.max_attempts
        )
        _check(_is_number(self.backoff) and self.backoff >= 1, "backoff", "a number of at least 1", self.backoff)
        _check(_is_number(self.jitter) and 0 <= self.jitter <= 1, "jitter", "a number from 0 to 1", self.jitter)
        object.__setattr__(self, "non_retryable", _classes(self.non_retryable))
        if self.max_interval_ms < self.initial_interval_ms:
            raise ValueError(
                f"RetryPolicy: max_interval {self.max_interval!r} is shorter than "
                f"initial_interval {self.initial_interval!r}"
            )

    @property
    def initial_interval_ms(self) -> int:
        """Milliseconds before the second attempt."""
        return duration_ms(self.initial_interval, "RetryPolicy: initial_interval")

    @property
    def max_interval_ms(self) -> int:
        """Milliseconds that one delay may take at most, jitter included."""
        return duration_ms(self.max_interval, "RetryPolicy: max_interval")


def next_delay_ms(policy: RetryPolicy, attempt: int, failure: BaseException, rng: random.Random) -> int | None:
    """Return the milliseconds to wait after ``attempt`` (from 1) failed, or None when the step has failed for good.

    A ``RetryableError`` with a delay sets it exactly; it does not add attempts.
    """
    if attempt >= policy.max_attempts or not is_retryable(policy, failure):
        return None
    if isinstance(failure, RetryableError) and failure.retry_after_ms is not None:
        return failure.retry_after_ms
    spread = 1 + policy.jitter * rng.uniform(-1, 1)
    return min(policy.max_interval_ms, round(_plain_delay_ms(policy, attempt) * spread))


def is_retryable(policy: RetryPolicy, failure: BaseException) -> bool:
    """Tell whether the policy allows another attempt after such a failure, attempts left or not."""
    return not isinstance(failure, (FatalError, *policy.non_retryable))


def _plain_delay_ms(policy: RetryPolicy, attempt: int) -> float:
    try:
        return min(float(policy.max_interval_ms), policy.initial_interval_ms * policy.backoff ** (attempt - 1))
    except OverflowError:
        return policy.max_interval_ms


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= ATTEMPTS_MAX


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _classes(value: object) -> tuple[type[BaseException], ...]:
    found = (value,) if isinstance(value, type) else value
    is_right = isinstance(found, tuple | list) and all(
        isinstance(it, type) and issubclass(it, BaseException) for it in found
    )
    _check(is_right, "non_retryable", "exception classes", value)
    return tuple(found)  # type: ignore[arg-type]


def _check(is_right: bool, field: str, expected: str, got: object) -> None:
    if not is_right:
        raise ValueError(f"RetryPolicy: {field} must be {expected}, got {got!r}")
