"""The second law of the log: where the time of an event comes from.

Owns two clamps and the minting of ids. The *event time* (the time part of ``event_id``) is a logical clock:
strictly rising within a run whatever the wall clocks of the replicas do, because it is computed inside the
transaction that holds the run. The *wall time* (``create_time``) never goes back within a run; durations come from
it. Nothing here reads a clock: ``now_ms`` arrives as an argument. Proof: `tests/rules/test_guard_is_exact.py`,
which reports violations as soon as the ``+ 1`` is dropped. Read ``guard.py`` next.
"""

from __future__ import annotations

import os
import re
from typing import Final

from google.protobuf import timestamp_pb2

#: The end of the year 9999, where Timestamp ends.
TIME_MS_MAX: Final = 253_402_300_799_999

_EVENT_PREFIX = "evt_"

# Written and read here and not by the ULID package: this runs for every event of every append, and takes a fifth of
# the time. Times go ten bits at once, as pairs of characters; each random byte gives one character, the same 80 bits.
# `tests/rules/test_clock.py` compares both ways with the package.
_TIME_CHARS = 10
_RANDOM_CHARS = 16
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_EVENT_ID = re.compile(f"{_EVENT_PREFIX}([{_ALPHABET}]{{{_TIME_CHARS}}})[{_ALPHABET}]{{{_RANDOM_CHARS}}}")
_TO_BASE_32 = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_BYTE_TO_CHARACTER = _ALPHABET.encode() * 8


def event_time(now_ms: int, head_at: int) -> int:
    """Return the time of the next event of a run whose newest event has ``head_at``: later, always."""
    return max(now_ms, head_at + 1)


def batch_times(head_at: int, count: int) -> range:
    """Return the times of the newest ``count`` events of a run, placed at one moment: only the first can be later than
    the one before by more than 1."""
    return range(head_at - count + 1, head_at + 1)


def wall_time(now_ms: int, update_ms: int) -> int:
    """Return the wall clock clamped to the newest event of the run, so that it never goes back there."""
    return max(now_ms, update_ms)


def mint(prefix: str, at: int) -> str:
    """Return ``prefix`` and a fresh ULID whose time part is ``at`` (epoch milliseconds)."""
    high = f"{_PAIRS[at >> 40]}{_PAIRS[at >> 30 & 1023]}{_PAIRS[at >> 20 & 1023]}"
    low = f"{_PAIRS[at >> 10 & 1023]}{_PAIRS[at & 1023]}"
    return prefix + high + low + os.urandom(_RANDOM_CHARS).translate(_BYTE_TO_CHARACTER).decode()


def mint_event_id(at: int) -> str:
    """Return a fresh event id whose time is ``at``."""
    return mint(_EVENT_PREFIX, at)


def time_of(event_id: str) -> int | None:
    """Return the time part of an event id in epoch milliseconds; None when it is not an event id."""
    found = _EVENT_ID.fullmatch(event_id)
    return int(found[1].translate(_TO_BASE_32), 32) if found else None


def to_timestamp(ms: int) -> timestamp_pb2.Timestamp:
    """Return epoch milliseconds as a Timestamp."""
    return timestamp_pb2.Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def set_ms(timestamp: timestamp_pb2.Timestamp, ms: int) -> None:
    """Set a Timestamp that belongs to a message, in place: half of the cost of making one and copying it there."""
    timestamp.seconds, timestamp.nanos = ms // 1000, ms % 1000 * 1_000_000


def to_ms(timestamp: timestamp_pb2.Timestamp) -> int:
    """Return a Timestamp as epoch milliseconds; a part of a millisecond rounds up, so that nothing is ever early."""
    return timestamp.seconds * 1000 + -(-timestamp.nanos // 1_000_000)
