"""Checksums of what is stored, and their chain in a log: how a changed, exchanged or lost row shows, whoever did it.

Owns 16 bytes an event: the checksum of the event before it (zeros at seq 1), then its own, taken over that one, the
event's time and its stored bytes. So a row proves itself wherever it is read, two neighbours prove that nothing is
missing or exchanged between them, and the run row keeps the newest one, so that a lost end shows too. It finds
accidents (a disk, a copy, a hand that edits); it is no signature. One hash of 8 bytes, under a microsecond for a usual
event.
What is in no log (chunks of streams, messages, remembered requests) has a checksum of its own, taken over its bytes and
the place that it belongs to.
Read ``rules/stored.py`` and ``rules/soundness.py`` for who verifies; engines store the bytes and know nothing of them
but `FIRST`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_BYTES: Final = 8
_TIME_BYTES: Final = 8
_LENGTH_BYTES: Final = 4

#: What stands before the first event of a log.
FIRST: Final = bytes(_BYTES)


def chained(before: bytes, at: int, body: bytes) -> bytes:
    """Return the checksum of an event: ``before`` (the newest checksum of the log so far) and its own."""
    return before + blake2b(before + at.to_bytes(_TIME_BYTES) + body, digest_size=_BYTES).digest()


def own(checksum: bytes) -> bytes:
    """Return the part that the next event of the log is chained to."""
    return checksum[_BYTES:]


def is_sound(checksum: bytes, at: int, body: bytes) -> bool:
    """Return whether an event is what was written."""
    return chained(checksum[:_BYTES], at, body) == checksum


def are_neighbours(before: bytes, after: bytes) -> bool:
    """Return whether two checksums are of events that follow each other."""
    return own(before) == after[:_BYTES]


def alone(*parts: bytes) -> bytes:
    """Return the checksum of a row that follows no other: 8 bytes, over its parts and where each of them ends."""
    return blake2b(b"".join(len(it).to_bytes(_LENGTH_BYTES) + it for it in parts), digest_size=_BYTES).digest()
