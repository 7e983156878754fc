"""Times of events: minted inside ids, rising within a run, read back exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from store_service.rules import clock


@given(st.integers(0, 2**48 - 1))
def test_the_time_of_a_minted_id_reads_back(at: int) -> None:
    event_id = clock.mint_event_id(at)
    assert clock.time_of(event_id) == at == ULID.from_str(event_id.removeprefix("evt_")).milliseconds


def test_no_two_ids_are_the_same() -> None:
    assert len({clock.mint_event_id(5) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "evt_",
        "01HF7YAT00EF14ZCCAHZT3D46J",
        "evt_" + "I" * 26,
        "evt_" + "0" * 25,
        "evt_" + "٣" * 26,
        "evt_" + "_" * 26,
    ],
)
def test_what_is_no_event_id_has_no_time(text: str) -> None:
    assert clock.time_of(text) is None


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_an_event_is_later_than_the_one_before_whatever_the_wall_says(now_ms: int, head_at: int) -> None:
    assert clock.event_time(now_ms, head_at) > head_at
    assert clock.event_time(now_ms, head_at) >= now_ms
    assert clock.wall_time(now_ms, head_at) >= head_at


@given(st.integers(0, clock.TIME_MS_MAX))
def test_milliseconds_survive_a_timestamp(ms: int) -> None:
    assert clock.to_ms(clock.to_timestamp(ms)) == ms


def test_a_part_of_a_millisecond_is_never_early() -> None:
    time = clock.to_timestamp(7)
    time.nanos += 1
    assert clock.to_ms(time) == 8
