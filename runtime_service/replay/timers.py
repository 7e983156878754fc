"""Timers of the loop as durable waits: what ``sleep``, ``timeout``, ``wait_for`` and ``wait(timeout=…)`` arm.

A timer is a ``wait_created`` in the log and fires when its ``wait_completed`` is delivered, whoever decided that.
A cancelled timer is not wanted any more and its firing is ignored. Reads no clock: time is an argument.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from contextvars import Context
from types import MappingProxyType
from typing import Any, Final

from holdfast.v1 import event_pb2
from runtime_service.replay.commands import Command, Commands

#: Milliseconds forgiven when rounding up: a float of seconds since 1970 is exact to less than this.
_ROUNDING_MS = 0.01


class DurableTimer(asyncio.TimerHandle):
    """The handle that ``call_later`` returns."""

    __slots__ = ("command", "wait_id")

    def __init__(
        self,
        wait_id: str,
        resume_ms: int,
        command: Command,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        super().__init__(resume_ms / 1000, callback, args, loop, context)
        self.wait_id = wait_id
        self.command = command


def milliseconds_until(seconds: float) -> int:
    """Round seconds up to milliseconds, so that a timer is never early."""
    return math.ceil(seconds * 1000 - _ROUNDING_MS)


class Timers:
    """The timers of one run."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._armed: dict[str, DurableTimer] = {}
        self._resume_ms: dict[str, int] = {}
        #: Wait id → resume time in epoch ms of the timers that the workflow still waits for, a live view.
        self.open: Final[Mapping[str, int]] = MappingProxyType(self._resume_ms)
        self._known: set[str] = set()

    def arm(
        self,
        wait_id: str,
        resume_ms: int,
        source: str,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> DurableTimer:
        """Create the wait and its handle."""
        event = event_pb2.Event(correlation_id=wait_id, wait_created=event_pb2.WaitCreated())
        event.wait_created.resume_time.FromMilliseconds(resume_ms)
        command = self._commands.emit(wait_id, event, source)
        timer = DurableTimer(wait_id, resume_ms, command, callback, args, loop, context)
        self._armed[wait_id] = timer
        self._resume_ms[wait_id] = resume_ms
        return timer

    def call_off(self, timer: DurableTimer) -> None:
        """The workflow waits for it no longer."""
        timer.command.is_wanted = False
        self._armed.pop(timer.wait_id, None)
        self._resume_ms.pop(timer.wait_id, None)

    def record(self, wait_id: str, resume_ms: int) -> None:
        """The wait is in the log: from now on the time that stands there counts."""
        self._known.add(wait_id)
        if wait_id in self._armed:
            self._resume_ms[wait_id] = resume_ms

    def fire(self, wait_id: str) -> DurableTimer | None:
        """The wait is over: return its handle to be run; None when nobody waits for it. KeyError when it is unknown."""
        self._known.remove(wait_id)
        self._resume_ms.pop(wait_id, None)
        return self._armed.pop(wait_id, None)

    def due(self, now_ms: int) -> str | None:
        """Return the id of the wait that is due first, among those that are recorded; None when none is due yet."""
        due = [(at, wait_id) for wait_id, at in self._resume_ms.items() if at <= now_ms and wait_id in self._known]
        return min(due)[1] if due else None

    def close(self) -> None:
        """The run has ended: nothing is waited for."""
        self._armed.clear()
        self._resume_ms.clear()
