"""How the function of a step is called: a coroutine as a task, a plain function in a thread, both in a fresh context.

Whatever the body does ends in a value, ``Returned`` or ``Raised``: SystemExit and KeyboardInterrupt too, because
asyncio lets those two fly out of the loop and one step would end the whole service.
Threads are daemons of their own, not a pool's: a pool joins its threads when the process ends, and a body that never
returns would keep a drained runtime alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.context import STEP
from holdfast.tracing import NOBODY, Carrier, make_current
from runtime_service.steps.context import AttemptContext


@dataclass(frozen=True, slots=True)
class Returned:
    """The body returned a value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The body raised."""

    error: BaseException


Ending = Returned | Raised


def fresh_context(context: AttemptContext, span: Carrier = NOBODY) -> contextvars.Context:
    """Build an empty context in which only the step and its span are set: nothing leaks in from elsewhere."""
    fresh = contextvars.Context()
    fresh.run(STEP.set, context)
    if span:
        fresh.run(make_current, span)
    return fresh


async def run_coroutine(call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Ending:
    """Await what ``call`` returns. Never raises."""
    try:
        return Returned(await call(*args, **kwargs))
    except BaseException as error:
        return Raised(error)


class Threads:
    """Runs plain functions in daemon threads, at most ``count`` at once.

    A thread whose attempt was given up still counts until its function returns: that is what bounds them.
    """

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def run(self, call: Callable[[], Any], *, context: contextvars.Context, began: Callable[[], None]) -> Ending:
        """Run ``call`` in ``context``; ``began`` is called on the loop when its thread is there. Never raises but for
        cancellation, after which the function goes on and its result is dropped.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Ending] = loop.create_future()

        def settle(ending: Ending) -> None:
            self._free.release()
            if not ended.done():
                ended.set_result(ending)

        def body() -> None:
            ending = _run_plain(call, context)
            # RuntimeError: the loop is closed, the process is on its way out and nobody waits for the ending.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, ending)

        began()
        try:
            threading.Thread(target=body, name="holdfast-step", daemon=True).start()
        except RuntimeError as no_thread:
            settle(Raised(no_thread))
        return await ended


def _run_plain(call: Callable[[], Any], context: contextvars.Context) -> Ending:
    try:
        return Returned(context.run(call))
    except BaseException as error:
        return Raised(error)
