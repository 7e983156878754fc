"""The deterministic event loop: a deque of callbacks, time from the log, and nothing that reaches outside.

Stock asyncio tasks and futures run on it, so that ``gather``, ``TaskGroup``, ``timeout``, ``Queue`` and the rest work
unchanged. It runs inside the service's own loop thread: around each turn the running loop, the current task and the
hooks for async generators are put aside and brought back. It keeps every task and async generator until it is
done, because the garbage collector must not decide when a ``finally`` block runs.

What time it is and where timers go are told by ``clock.py`` and ``timers.py``; how it is dropped is ``eviction.py``.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import math
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context
from typing import Any, Final, TypeVarTuple

from holdfast.errors import NotDeterministic
from runtime_service.replay import guard, order
from runtime_service.replay.clock import RunClock
from runtime_service.replay.limits import CALLBACKS_PER_EVENT_MAX
from runtime_service.replay.order import ReplayFuture, ReplayTask
from runtime_service.replay.outside import OWNERS_ONLY, REACHING_OUT, refusing
from runtime_service.replay.scope import Scope
from runtime_service.replay.source import calling_line
from runtime_service.replay.timers import DurableTimer, Timers, milliseconds_until

#: The last millisecond that a Timestamp can name.
_TIME_MS_MAX: Final = 253_402_300_799_999

#: Python 3.12 and later can set the current task of the outer loop aside; before, it is kept per loop.
_swap_current_task: Final = getattr(asyncio.tasks, "_swap_current_task", None)


Ts = TypeVarTuple("Ts")


class ReplayLoop(asyncio.AbstractEventLoop):
    """The loop of one run. ``run_until_quiet`` is the only way to make it move."""

    def __init__(self, run_id: str, clock: RunClock, timers: Timers) -> None:
        self._clock = clock
        self._timers = timers
        self._ready: deque[asyncio.Handle] = deque()
        self._number = order.first_number(run_id)
        self._is_abandoned = False
        #: Ids of what is created outside of any task, in a plain callback. Child tasks count from 1, so "0/" is free.
        self._no_task = Scope("0/")
        self._root = Scope()
        #: Every task that is not done, in order of creation.
        self.tasks: dict[ReplayTask, None] = {}
        #: Every async generator that was begun, in order.
        self.generators: list[AsyncGenerator[Any, Any]] = []
        #: The first error that must stop the replay although no task hands it on.
        self.fatal: NotDeterministic | None = None

    def run_until_quiet(self, *, is_replayed: bool) -> None:
        """Run callbacks until none is ready.

        Raises NotDeterministic when the workflow never comes to rest or when a callback reached outside.
        """
        if self._ready:
            outer_loop, outer_hooks, outer_task = self._enter()
            outer_turn = guard.begin_turn(is_replayed=is_replayed)
            try:
                self._run_callbacks()
            finally:
                guard.end_turn(outer_turn)
                sys.set_asyncgen_hooks(*outer_hooks)
                asyncio._set_running_loop(outer_loop)
                if _swap_current_task and outer_loop:
                    _swap_current_task(outer_loop, outer_task)
        if self.fatal is not None:
            raise self.fatal

    def start(self, coro: Coroutine[Any, Any, Any], context: Context) -> ReplayTask:
        """Create the root task of the run; its first step is ready to run."""
        return self._add_task(coro, "workflow", context, self._root)

    def scope(self) -> Scope:
        """Return the scope of the task that is running."""
        task = asyncio.current_task(self)
        return task.scope if isinstance(task, ReplayTask) else self._no_task

    def push(self, handle: asyncio.Handle) -> None:
        """Make a handle ready to run."""
        if not self._is_abandoned:
            self._ready.append(handle)

    def abandon(self) -> list[object]:
        """Let go of everything and take no more; returns what was held, for whoever must lay it to rest."""
        self._is_abandoned = True
        held: list[object] = [*self.tasks, *self.generators, *self._ready]
        self.tasks.clear()
        self.generators.clear()
        self._ready.clear()
        return held

    def next_number(self) -> int:
        """Return the number of the next task or future; it is its hash."""
        self._number += 1
        return self._number

    # What asyncio asks of a loop.

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.push(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self._call_at_ms(self._checked_ms(delay), callback, args, context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self._call_at_ms(self._checked_ms(when - self.time()), callback, args, context)

    def time(self) -> float:
        return self._clock.now_ms / 1000

    def create_future(self) -> ReplayFuture:
        return ReplayFuture(self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: object = None,
        context: Context | None = None,
        eager_start: bool | None = None,
    ) -> ReplayTask:
        scope = self.scope().child()
        return self._add_task(coro, str(name) if name is not None else f"task {scope.path}", context, scope)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def get_task_factory(self) -> None:
        return None

    def get_exception_handler(self) -> None:
        return None

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Take an error that nobody handles. As in asyncio it ends nothing, and a replay is silent about it."""
        if self.fatal is None and isinstance(error := context.get("exception"), NotDeterministic):
            self.fatal = error

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, DurableTimer):
            self._timers.call_off(handle)

    # Its inside.

    def _run_callbacks(self) -> None:
        ready = self._ready
        for _ in range(CALLBACKS_PER_EVENT_MAX):
            if not ready:
                return
            handle = ready.popleft()
            try:
                if not handle._cancelled:
                    handle._run()
            except (SystemExit, KeyboardInterrupt):
                # Raised by workflow code they are in its task already, and must not end the service.
                continue
        waiting = next(iter(self.tasks), None)
        raise NotDeterministic(
            f"the workflow loops without awaiting anything durable: {CALLBACKS_PER_EVENT_MAX} callbacks after one event"
            f"{f', in {waiting.get_coro()!r}' if waiting else ''}; await a step, a hook or a sleep longer than 0"
        )

    def _call_at_ms(
        self, resume_ms: int, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.TimerHandle:
        if resume_ms > self._clock.now_ms:
            wait_id = self.scope().wait_id()
            return self._timers.arm(wait_id, resume_ms, calling_line(), callback, args, self, context)
        handle = asyncio.TimerHandle(self.time(), callback, args, self, context)
        self.push(handle)
        return handle

    def _checked_ms(self, delay: float) -> int:
        if not math.isfinite(delay) or delay > _TIME_MS_MAX:
            raise ValueError(f"a timer of {delay} seconds never fires: give a finite delay")
        resume_ms = self._clock.now_ms + max(0, milliseconds_until(delay))
        if resume_ms > _TIME_MS_MAX:
            raise ValueError(f"a timer of {delay} seconds would fire after the year 9999")
        return resume_ms

    def _add_task(self, coro: Coroutine[Any, Any, Any], name: str, context: Context | None, scope: Scope) -> ReplayTask:
        task = ReplayTask(coro, loop=self, name=name, context=context, scope=scope)
        self.tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)  # type: ignore[call-overload]

    def _begin_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        self.generators = [held for held in self.generators if held.ag_frame is not None]  # type: ignore[attr-defined]
        self.generators.append(generator)

    def _enter(self) -> tuple[asyncio.AbstractEventLoop | None, Any, Any]:
        """Make this the running loop; returns what has to be put back afterwards."""
        outer_loop, outer_hooks = asyncio._get_running_loop(), sys.get_asyncgen_hooks()
        outer_task = _swap_current_task(outer_loop, None) if _swap_current_task and outer_loop else None
        asyncio._set_running_loop(self)
        # No finalizer: an abandoned generator is closed when the run ends, not when the collector finds it.
        sys.set_asyncgen_hooks(firstiter=self._begin_generator, finalizer=None)
        return outer_loop, outer_hooks, outer_task


for _name in (*REACHING_OUT, *OWNERS_ONLY):
    setattr(ReplayLoop, _name, refusing(_name))
# AbstractEventLoop marks nothing abstract by ABCMeta, so the table is all that keeps it whole.
order.install()
