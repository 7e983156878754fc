"""Between two turns of a hold: what it waits for, for how long, and what wakes it.

Owns the bell that everything rings which may move the run (a pushed event, a result, a free slot, a drain), and the
times at which the run moves by itself: its timers, and the retries of steps that are ours to begin. It must never act
on the run: the next turn does. Read ``hold.py`` for the turns.
"""

from __future__ import annotations

import asyncio

from runtime_service.replay.instance import Instance
from runtime_service.replay.open_entities import OpenStep
from runtime_service.worker.attempts import Attempts
from runtime_service.worker.outside_steps import OutsideSteps
from runtime_service.worker.surroundings import Surroundings


class Bell:
    """Rung by whoever has news; one ring is enough for any number of them."""

    def __init__(self, around: Surroundings) -> None:
        self._clock = around.clock
        self._news = asyncio.Event()
        #: Says that something changed: look again. To be passed on as a callback.
        self.ring = self._news.set

    async def heard(self, until_ms: int | None = None) -> None:
        """Wait for a ring, or until a time (epoch ms) if one is given."""
        timer = None
        if until_ms is not None:
            delay_ms = max(0, until_ms - self._clock())
            timer = asyncio.get_running_loop().call_later(delay_ms / 1000, self._news.set)
        await self._news.wait()
        self._news.clear()
        if timer is not None:
            timer.cancel()


class Rest:
    """The pauses of one hold. ``active_ms`` is when the run moved last."""

    def __init__(self, around: Surroundings, attempts: Attempts, outside: OutsideSteps, bell: Bell) -> None:
        self.active_ms = around.clock()
        self._around = around
        self._attempts = attempts
        self._outside = outside
        self._bell = bell

    def moved(self) -> None:
        """The run moved just now: linger from here on."""
        self.active_ms = self._around.clock()

    async def take(self, instance: Instance, *, wants_slot: bool) -> bool:
        """Wait for something to happen; False at once when there is nothing to wait for here."""
        now_ms, linger_ms = self._around.clock(), self._around.options.linger_ms
        due_ms = self.next_due_ms(instance, wants_slot=wants_slot)
        if self._attempts.running or (wants_slot and not self._around.is_draining):
            await self._bell.heard(due_ms)
        elif self._around.is_draining:
            return False
        elif due_ms is not None and due_ms - now_ms <= linger_ms:
            await self._bell.heard(due_ms)
        elif now_ms < self.active_ms + linger_ms:
            await self._bell.heard(self.active_ms + linger_ms)
        else:
            return False
        return True

    def next_due_ms(self, instance: Instance, *, wants_slot: bool) -> int | None:
        """When a timer or the next attempt of a step is due; None when only the outside can move the run.

        While no attempt may begin, for want of a slot or in a drain, none is due: its time may be over, and waiting
        for a moment in the past is a busy loop.
        """
        may_begin = not (wants_slot or self._around.is_draining)
        retries = [
            step.retry_time_ms
            for step in instance.open_steps().values()
            if step.retry_time_ms and self._is_ours_to_move(step) and (may_begin or not step.is_wanted)
        ]
        return min([*instance.open_waits().values(), *retries], default=None)

    def _is_ours_to_move(self, step: OpenStep) -> bool:
        """Whether we act when a retry of the step is due: to begin it here, or to call it off that is outside."""
        if self._outside.have(step):
            return not step.is_wanted
        return step.is_wanted and step.step_id not in self._attempts.running
