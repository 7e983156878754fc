"""Who moves virtual time: it jumps when the test waits for something and nothing else can run.

Owns the waits of a test (for a run, or for a time) and the decision to jump. "Nothing else can run" is exact: nothing
is ready on the event loop, twice in a row, so that a timer of zero seconds counts too, and no step body is under way.
Time then jumps to the next thing that is due, or to the time of the nearest wait, whichever is first. When nothing will
ever be due, waits without an end are told so instead of hanging. Must never move time while a step body runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

from holdfast.testing.clock import VirtualClock

#: Real seconds that a hopeless wait gives to whatever else the test is waiting for: a server, a file, another task.
HOPELESS_SECONDS: Final = 3.0

#: Turns given to a loop that does not show what is ready (uvloop).
_BLIND_TURNS: Final = 100

#: Event loop → timekeepers that look at it at this moment; each has one handle in it and is no work for the others.
_looking: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, int]] = WeakKeyDictionary()


class Hopeless(Exception):
    """A wait that nothing will ever end."""


@dataclass(eq=False, slots=True)
class Wait:
    """One wait of a test. ``over`` is done when its time has come, or has `Hopeless`.

    ``is_for_run``: for something that a run is to do, and not just for a time.
    """

    until_ms: int | None
    is_for_run: bool
    over: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Timekeeper:
    """Moves ``clock``.

    ``is_busy`` tells of step bodies; ``next_due_ms`` when something falls due, None for never; ``is_stuck`` whether all
    that still falls due are further tries of what has failed.
    """

    def __init__(
        self,
        clock: VirtualClock,
        *,
        is_busy: Callable[[], bool],
        next_due_ms: Callable[[], int | None],
        is_stuck: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._is_busy = is_busy
        self._next_due_ms = next_due_ms
        self._is_stuck = is_stuck
        self._waits: list[Wait] = []
        self._nudged = asyncio.Event()
        self._task = asyncio.create_task(self._keep(), name="holdfast-timekeeper")

    def nudge(self) -> None:
        """Something happened that may let time go on: look again."""
        self._nudged.set()

    @contextmanager
    def waiting(self, until_ms: int | None = None, *, is_for_run: bool = True) -> Iterator[Wait]:
        """Let time go on while the block lasts, to ``until_ms`` at most."""
        wait = Wait(until_ms, is_for_run)
        self._waits.append(wait)
        self.nudge()
        try:
            yield wait
        finally:
            self._waits.remove(wait)
            wait.over.cancel()

    async def sleep_until(self, at_ms: int) -> None:
        """Return once it is ``at_ms`` and everything that was due by then has been done."""
        with self.waiting(at_ms, is_for_run=False) as wait:
            await wait.over

    async def stop(self) -> None:
        """Move time no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await self._nudged.wait()
            self._nudged.clear()
            while await self._go_on():
                pass
            if self._waits and not self._nudged.is_set() and not self._is_busy():
                await self._give_up_later()

    async def _go_on(self) -> bool:
        """Make the next thing happen, when nothing else can run; False when there is none."""
        if not self._waits:
            return False
        await _quiet()
        if self._is_busy():
            return False
        return self._end_reached() or self._jump()

    def _end_reached(self) -> bool:
        now_ms = self._clock()
        reached = [it for it in self._open_waits() if it.until_ms is not None and it.until_ms <= now_ms]
        for wait in reached:
            wait.over.set_result(None)
        return bool(reached)

    def _jump(self) -> bool:
        if self._is_stuck():
            self._give_up(lambda wait: wait.is_for_run)
        due = [wait.until_ms for wait in self._open_waits()]
        times = [at_ms for at_ms in (*due, self._next_due_ms()) if at_ms is not None]
        if not due or not times:
            return False
        self._clock.move_to(min(times))
        return True

    async def _give_up_later(self) -> None:
        """Give the outside a while, then end the waits that have no end of their own."""
        try:
            async with asyncio.timeout(HOPELESS_SECONDS):
                await self._nudged.wait()
        except TimeoutError:
            self._give_up(lambda wait: wait.until_ms is None)

    def _give_up(self, is_hopeless: Callable[[Wait], bool]) -> None:
        for wait in self._open_waits():
            if is_hopeless(wait):
                wait.over.set_exception(Hopeless())

    def _open_waits(self) -> list[Wait]:
        return [wait for wait in self._waits if not wait.over.done()]


async def _quiet() -> None:
    """Return when nothing is ready to run on this loop."""
    loop = asyncio.get_running_loop()
    # There is no public way to ask; a loop without the attribute gets turns enough for any chain of ours.
    ready = getattr(loop, "_ready", None)
    if ready is None:
        for _ in range(_BLIND_TURNS):
            await asyncio.sleep(0)
        return
    _looking[loop] = _looking.get(loop, 0) + 1
    try:
        quiet_turns = 0
        while quiet_turns < 2:
            await asyncio.sleep(0)
            quiet_turns = quiet_turns + 1 if len(ready) < _looking[loop] else 0
    finally:
        _looking[loop] -= 1
