"""Durations and moments as people write them, turned into milliseconds.

Owns the words ("1h 30m", "2.5s"), nothing else: no clock is read here. Fractions of a millisecond are rounded up, so
that nothing ends or fires early. Read ``holdfast/primitives.py`` and ``holdfast/definitions.py`` for the callers.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

#: What a duration may be written as.
Duration = str | int | float | timedelta

#: A hundred years: beyond it a duration is a mistake, and a Timestamp would run out at the year 9999.
DURATION_MS_MAX: Final = 100 * 366 * 86_400_000

_EXPECTED: Final = 'a duration like "1h 30m", "1 day", "2.5s" or "250ms", a number of seconds or a timedelta'

#: Milliseconds of a unit, by every spelling.
_UNITS: Final[dict[str, int]] = {
    spelling: size
    for size, spellings in (
        (1, "ms msec msecs millisecond milliseconds"),
        (1_000, "s sec secs second seconds"),
        (60_000, "m min mins minute minutes"),
        (3_600_000, "h hr hrs hour hours"),
        (86_400_000, "d day days"),
        (604_800_000, "w week weeks"),
    )
    for spelling in spellings.split()
}

_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*,?")
_NUMBER: Final = re.compile(r"\s*\d+(?:\.\d+)?\s*")


def duration_ms(value: Duration, what: str = "duration") -> int:
    """Return a duration in milliseconds; a bare number, also in a string, is seconds.

    Raises ValueError that names ``what`` and what was expected; negative durations are refused.
    """
    if isinstance(value, bool):
        raise _refused(what, value)
    if isinstance(value, str):
        return _in_range(_words_ms(value, what), value, what)
    if isinstance(value, timedelta):
        return _in_range(-(-value // timedelta(milliseconds=1)) if value else 0, value, what)
    if isinstance(value, int | float) and math.isfinite(value):
        return _in_range(_rounded_up(value), value, what)
    raise _refused(what, value)


def optional_duration_ms(value: Duration | None, what: str) -> int | None:
    """Like ``duration_ms``; None stays None, and zero is refused because nothing could be done in it."""
    if value is None:
        return None
    found = duration_ms(value, what)
    if found == 0:
        raise ValueError(f"{what}: must be longer than 0, got {value!r}")
    return found


def moment_ms(value: datetime, what: str = "moment") -> int:
    """Return an aware datetime as epoch milliseconds, rounded up. Raises ValueError for a naive one."""
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(f"{what}: expected a datetime with a time zone, got {value!r}; use datetime.now(UTC)")
    since = value.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return -(-since // timedelta(milliseconds=1))


def _rounded_up(seconds: int | float) -> int:
    # 0.1 * 1000 is 100.00000000000001 in doubles; that is 100, not 101.
    return math.ceil(round(seconds * 1000, 6))


def _words_ms(text: str, what: str) -> int:
    if _NUMBER.fullmatch(text):
        return math.ceil(Decimal(text.strip()) * 1000)
    total, position = Decimal(0), 0
    while part := _PART.match(text, position):
        size = _UNITS.get(part[2].lower())
        if size is None:
            raise _refused(what, text)
        total, position = total + Decimal(part[1]) * size, part.end()
    if position == 0 or text[position:].strip():
        raise _refused(what, text)
    return math.ceil(total)


def _in_range(found: int, value: object, what: str) -> int:
    if found < 0:
        raise ValueError(f"{what}: must not be negative, got {value!r}")
    if found > DURATION_MS_MAX:
        raise ValueError(f"{what}: at most 100 years, got {value!r}")
    return found


def _refused(what: str, value: object) -> ValueError:
    return ValueError(f"{what}: expected {_EXPECTED}, got {value!r}")
