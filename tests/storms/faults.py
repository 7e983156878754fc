"""What storms do to a process from within: clocks that misbehave, rules taken out, a kill at an exact place.

Each fault is a small picklable object that is called in the child before it serves. What it returns, if anything, is
the clock of the store. A fault must change nothing but what its docstring says.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

When = Literal["before", "after"]

_YEAR_NS = 366 * 24 * 3600 * 1_000_000_000


class TrickClock:
    """A wall clock out of a bad dream: it stands still for long, ticks, jumps back five seconds, jumps ahead an hour.

    Each phase lasts for a random number of readings, so that the frozen ones hold hundreds of operations.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._now_ms = int(time.time() * 1000)
        self._left = 0
        self._step_ms: Callable[[], int] = lambda: 0

    def __call__(self) -> int:
        if not self._left:
            self._begin_phase()
        self._left -= 1
        self._now_ms += self._step_ms()
        return self._now_ms

    async def wait_until(self, at_ms: int) -> None:
        """Nothing that is due matters in a storm of creates."""
        await asyncio.Event().wait()

    def _begin_phase(self) -> None:
        self._left = self._random.randint(50, 2_000)
        self._step_ms = self._random.choice((lambda: 0, lambda: 0, lambda: self._random.randint(0, 2)))
        self._now_ms += self._random.choice((0, -5_000, -5_000, 1, 3_600_000))


@dataclass(frozen=True, slots=True)
class Clocked:
    """Gives the store a `TrickClock`."""

    seed: int

    def __call__(self) -> TrickClock:
        return TrickClock(self.seed)


@dataclass(frozen=True, slots=True)
class LeapingWall:
    """Gives the store its own clock on a wall that leaps a year ahead after some seconds, and back."""

    ahead: float
    back: float

    def __call__(self) -> Any:
        from store_service.api.clock import SteadyClock

        began = time.monotonic()
        is_ahead = self._is_ahead

        def wall_ns() -> int:
            return time.time_ns() + (_YEAR_NS if is_ahead(time.monotonic() - began) else 0)

        return SteadyClock(wall_ns=wall_ns)

    def _is_ahead(self, seconds: float) -> bool:
        return self.ahead <= seconds < self.back


@dataclass(frozen=True, slots=True)
class WithoutComparison:
    """Takes the comparison out of the guard."""

    seed: int

    def __call__(self) -> TrickClock:
        from store_service.rules import guard

        guard.compare = lambda snapshot, run: guard.Verdict.FRESH
        return TrickClock(self.seed)


@dataclass(frozen=True, slots=True)
class WithoutRisingClock:
    """Drops the ``+ 1`` of the clock rule."""

    seed: int

    def __call__(self) -> TrickClock:
        from store_service.rules import clock

        clock.event_time = max
        return TrickClock(self.seed)


@dataclass(frozen=True, slots=True)
class KilledAtAppend:
    """Kills a runtime at its ``count``-th append: right before the call, or right after its answer came."""

    count: int
    when: When

    def __call__(self) -> None:
        from runtime_service.store import Store

        kill_at, is_before = self.count, self.when == "before"
        append = Store.append
        done = 0

        async def append_or_die(self: Store, request: Any) -> Any:
            nonlocal done
            done += 1
            is_last = done == kill_at
            if is_last and is_before:
                _die()
            answer = await append(self, request)
            if is_last:
                _die()
            return answer

        Store.append = append_or_die


@dataclass(frozen=True, slots=True)
class KilledAtCommit:
    """Kills a store at its ``count``-th commit: everything written and not committed, or committed and not told."""

    count: int
    when: When

    def __call__(self) -> None:
        from store_service.engines.sqlite.connection import Session

        kill_at, is_before = self.count, self.when == "before"
        execute: Callable[..., Any] = Session.execute
        done = 0
        is_writing: set[int] = set()

        def execute_or_die(self: Session, sql: str, *args: Any) -> Any:
            nonlocal done
            if sql == "BEGIN IMMEDIATE":
                is_writing.add(id(self))
            if sql != "COMMIT" or id(self) not in is_writing:
                return execute(self, sql, *args)
            done += 1
            is_last = done == kill_at
            if is_last and is_before:
                _die()
            answer = execute(self, sql, *args)
            if is_last:
                _die()
            return answer

        Session.execute = execute_or_die


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
