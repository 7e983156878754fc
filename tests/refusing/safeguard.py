"""What a safeguard is here: a name, the way to take it out, and the tests that must fail then.

Owns the value. A safeguard without a test that fails does not exist. Read ``safeguards.py`` for all of them and
``switched_off.py`` for who runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

#: Looks at every schedule of a run with two runtimes and one fault: whoever breaks a promise there is found.
SCHEDULES: Final = (
    "tests/simulation/test_every_schedule.py::test_every_schedule_of_notes_and_values_with_one_fault_keeps_the_promises"
)


@dataclass(frozen=True, slots=True)
class Safeguard:
    """``what`` it is for, in words; ``switch_off`` takes it out of this process; ``tests`` fail without it."""

    what: str
    switch_off: Callable[[], None]
    tests: tuple[str, ...]


def nothing(*_: Any, **__: Any) -> None:
    """Refuse nothing: what stands in for a check."""
