"""The retry policy and the delay it gives."""

from __future__ import annotations

import random
from typing import Any

import pytest

from holdfast import FatalError, RetryableError, RetryPolicy
from holdfast.retry import next_delay_ms


class Declined(Exception):
    pass


class DeclinedForGood(Declined):
    pass


def delays(policy: RetryPolicy, error: BaseException, seed: int = 1) -> list[int | None]:
    rng = random.Random(seed)
    return [next_delay_ms(policy, attempt, error, rng) for attempt in range(1, policy.max_attempts + 1)]


def test_the_default_is_four_attempts_a_second_doubled_up_to_a_minute() -> None:
    policy = RetryPolicy()
    assert (policy.max_attempts, policy.initial_interval_ms, policy.max_interval_ms) == (4, 1_000, 60_000)
    assert (policy.backoff, policy.jitter) == (2, 0.2)
    assert delays(RetryPolicy(jitter=0), ValueError()) == [1_000, 2_000, 4_000, None]


def test_a_delay_never_passes_the_longest_interval_however_many_attempts_there_were() -> None:
    policy = RetryPolicy(max_attempts=1_000_000, jitter=0)
    assert next_delay_ms(policy, 999_999, ValueError(), random.Random(1)) == 60_000
    jittered = RetryPolicy(max_attempts=100, jitter=1)
    assert all(it is None or 0 <= it <= 60_000 for it in delays(jittered, ValueError()))


def test_jitter_spreads_by_its_fraction_and_comes_from_the_given_source() -> None:
    policy = RetryPolicy(max_attempts=2, initial_interval=10)
    found = {next_delay_ms(policy, 1, ValueError(), random.Random(seed)) for seed in range(200)}
    assert min(it or 0 for it in found) >= 8_000
    assert max(it or 0 for it in found) <= 12_000
    assert len(found) > 50
    assert delays(policy, ValueError(), seed=7) == delays(policy, ValueError(), seed=7)


def test_a_retryable_error_sets_the_delay_exactly_and_adds_no_attempt() -> None:
    error = RetryableError("busy", retry_after="10s")
    assert delays(RetryPolicy(max_attempts=3), error) == [10_000, 10_000, None]
    assert delays(RetryPolicy(max_attempts=2, jitter=0), RetryableError("busy")) == [1_000, None]


def test_fatal_errors_and_non_retryable_types_with_their_subclasses_are_never_retried() -> None:
    policy = RetryPolicy(non_retryable=(Declined,))
    assert delays(policy, FatalError("no"))[0] is None
    assert delays(policy, DeclinedForGood("no"))[0] is None
    assert delays(policy, ValueError("hm"))[0] is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"max_attempts": True},
        {"initial_interval": "soon"},
        {"initial_interval": -1},
        {"backoff": 0.5},
        {"backoff": float("nan")},
        {"jitter": 1.1},
        {"jitter": -0.1},
        {"initial_interval": 10, "max_interval": 5},
        {"non_retryable": ("ValueError",)},
        {"non_retryable": (int,)},
    ],
)
def test_a_bad_policy_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        RetryPolicy(**wrong)


def test_a_bad_retry_after_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="retry_after"):
        RetryableError("busy", retry_after="soon")
