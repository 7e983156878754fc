"""Durations as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from holdfast.durations import duration_ms, moment_ms, optional_duration_ms


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1h 30m", 5_400_000),
        ("1h30m", 5_400_000),
        ("1 day", 86_400_000),
        ("2 weeks", 1_209_600_000),
        ("7d", 604_800_000),
        ("2.5s", 2_500),
        ("250ms", 250),
        ("1 hour, 5 minutes", 3_900_000),
        ("30", 30_000),
        (2, 2_000),
        (0.1, 100),
        (0.0005, 1),
        (0, 0),
        (timedelta(hours=1, microseconds=1), 3_600_001),
    ],
)
def test_a_duration_is_read_to_the_millisecond_and_never_shortened(written: Any, expected: int) -> None:
    assert duration_ms(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "soon",
        "1 fortnight",
        "1h x",
        "-5s",
        "- 1h",
        -1,
        timedelta(seconds=-1),
        float("nan"),
        float("inf"),
        True,
        None,
        "1e3s",
        "h",
        "101 years",
        10**12,
    ],
)
def test_a_malformed_duration_is_refused_with_what_was_expected(written: Any) -> None:
    with pytest.raises(ValueError, match=r"timeout: (expected a duration|must not be negative|at most 100 years)"):
        duration_ms(written, "timeout")


def test_a_bound_of_nothing_is_refused_and_no_bound_is_none() -> None:
    assert optional_duration_ms(None, "timeout") is None
    with pytest.raises(ValueError, match="timeout: must be longer than 0"):
        optional_duration_ms("0s", "timeout")


def test_an_aware_moment_is_the_same_in_every_zone_and_a_naive_one_is_refused() -> None:
    moment = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert moment_ms(moment) == moment_ms(moment.astimezone(timezone(timedelta(hours=5)))) == 1_893_499_200_000
    with pytest.raises(ValueError, match="time zone"):
        moment_ms(datetime(2030, 1, 1))
