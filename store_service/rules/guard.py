"""The guard: may a replay that decided from this copy of the log still write?

Owns the one comparison that holdfast exists for. Pure and exact: five integers of the run row against what the
caller says it had loaded, nothing else; with the rising event times of ``clock.py`` every time names exactly one
prefix of the log, so a stale decision is never accepted and a fresh one never refused
(`tests/rules/test_guard_is_exact.py`, which must report violations when this comparison is taken out). What the
refused caller is told is ``staleness.py``.

The lost update that it prevents, in order (`test_a_fact_in_the_millisecond_of_the_snapshot_is_still_seen`):
    replay loads events 1..7  |  hook_received commits as 8  |  replay, not having seen 8, writes run_completed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How new the caller's copy is: time (epoch ms) and seq of its newest event. None: not said."""

    state_updated_at: int | None = None
    state_seq: int | None = None

    @property
    def is_given(self) -> bool:
        return self.state_updated_at is not None or self.state_seq is not None


@dataclass(frozen=True, slots=True)
class Position:
    """What a run row says of its log: the head, the marker, and the newest decision of a replay. 0: none."""

    head_seq: int = 0
    head_at: int = 0
    out_of_band_at: int = 0
    out_of_band_seq: int = 0
    replay_seq: int = 0


class Verdict(Enum):
    """What the comparison found."""

    FRESH = "fresh"
    AHEAD = "the snapshot names a position that the log does not have"
    BEHIND_FACT = "an event that can change a decision came after the snapshot"
    BEHIND_REPLAY = "another replay of the run wrote after the snapshot"


def compare(snapshot: Snapshot, run: Position) -> Verdict:
    """Compare a caller's snapshot with the run as it is before the write; absent parts are not compared.

    A snapshot that is ahead was taken from another log and says nothing about this one, so that is told first; of two
    reasons to be stale the fact is told, because it is what the caller must take in.
    """
    at, seq = snapshot.state_updated_at, snapshot.state_seq
    if (at is not None and at > run.head_at) or (seq is not None and seq > run.head_seq):
        return Verdict.AHEAD
    if (at is not None and at < run.out_of_band_at) or (seq is not None and seq < run.out_of_band_seq):
        return Verdict.BEHIND_FACT
    if seq is not None and seq < run.replay_seq:
        return Verdict.BEHIND_REPLAY
    return Verdict.FRESH
