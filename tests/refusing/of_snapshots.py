"""Safeguards of decisions: how old the copy of the log may be that one was made from, and what tells its age.

Owns their switches and the tests that must fail without them. A switch puts something harmless in the place of the
safeguard, in a process that dies with it. Read ``safeguards.py`` for the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tests.refusing.safeguard import SCHEDULES, Safeguard


def _guard_comparison() -> None:
    from store_service.rules import guard

    guard.compare = lambda snapshot, run: guard.Verdict.FRESH


def _guard_of_facts() -> None:
    from store_service.rules import guard

    compare = guard.compare
    guard.compare = lambda snapshot, run: compare(snapshot, replace(run, out_of_band_at=0, out_of_band_seq=0))


def _guard_of_replays() -> None:
    from store_service.rules import guard

    compare = guard.compare
    guard.compare = lambda snapshot, run: compare(snapshot, replace(run, replay_seq=0))


def _guard_of_other_logs() -> None:
    from store_service.rules import guard

    compare = guard.compare
    far = 1 << 60
    guard.compare = lambda snapshot, run: compare(snapshot, replace(run, head_seq=far, head_at=far))


def _rising_clock() -> None:
    from store_service.rules import clock

    clock.event_time = lambda now_ms, head_at: max(now_ms, head_at)


def _wall_that_never_goes_back() -> None:
    from store_service.rules import clock

    clock.wall_time = lambda now_ms, update_ms: now_ms


def _all_or_none_of_missed_events() -> None:
    from store_service.rules import delta

    between = delta.between
    delta.between = lambda reader, run_id, after_seq, head, bytes_max: between(reader, run_id, after_seq, head, 1 << 30)


_RULES: Final = "tests/rules"

#: Name of a safeguard → what is known of it.
ROWS: Final[Mapping[str, Safeguard]] = {
    "guard": Safeguard(
        "a decision from an old copy of the log is refused",
        _guard_comparison,
        (f"{_RULES}/test_staleness.py::test_a_fact_in_the_millisecond_of_the_snapshot_is_still_seen", SCHEDULES),
    ),
    "guard against facts": Safeguard(
        "the marker is compared, not only what replays wrote",
        _guard_of_facts,
        (f"{_RULES}/test_staleness.py::test_the_guard_covers_a_batch_as_a_whole", SCHEDULES),
    ),
    "guard against another replay": Safeguard(
        "two replays with one snapshot do not both write",
        _guard_of_replays,
        (
            f"{_RULES}/test_staleness.py::test_two_replays_with_one_snapshot_and_no_fact_between_do_not_both_write",
            SCHEDULES,
        ),
    ),
    "guard against another log": Safeguard(
        "a snapshot ahead of the log is refused",
        _guard_of_other_logs,
        (f"{_RULES}/test_staleness.py::test_a_snapshot_of_another_log_is_told_to_load_again_from_the_beginning",),
    ),
    "event clock": Safeguard(
        "event times rise strictly whatever the wall clock does",
        _rising_clock,
        (f"{_RULES}/test_append.py::test_event_times_rise_strictly_and_wall_times_never_go_back",),
    ),
    "wall clock": Safeguard(
        "the wall time of a log never goes back",
        _wall_that_never_goes_back,
        (f"{_RULES}/test_append.py::test_event_times_rise_strictly_and_wall_times_never_go_back",),
    ),
    "all or none": Safeguard(
        "missed events that do not fit are not cut short",
        _all_or_none_of_missed_events,
        (f"{_RULES}/test_staleness.py::test_missed_events_come_all_or_none",),
    ),
}
