"""Undoing what was done: a stack of compensations for a workflow whose later part failed or was cancelled.

``async with Saga() as saga`` undoes in reverse when its block raises, a cancellation included, and does nothing when it
ends well. The undo calls are steps, so each is recorded: after a crash the replay goes on with the one that was
under way. Suspending the run undoes nothing, for no ``finally`` of a workflow runs then. Must never swallow: what the
block raised is raised again, and undo calls that failed beside it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any


class Saga:
    """A stack of undo calls. Add one right after the step that it undoes.

    ::

        async with Saga() as saga:
            flight = await book_flight(trip)
            saga.add(cancel_flight, flight)
            hotel = await book_hotel(trip)
            saga.add(cancel_hotel, hotel)
            await charge(trip)
    """

    def __init__(self) -> None:
        self._undos: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []

    def add(self, undo: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """Put ``undo(*args, **kwargs)`` on the stack: a step, or any function, async or plain. Raises TypeError."""
        if not callable(undo):
            raise TypeError(
                f"add() takes a function and its arguments, got {undo!r}; write add(undo, x) and not add(undo(x))"
            )
        self._undos.append((undo, args, kwargs))

    def clear(self) -> None:
        """Forget every undo call: what was done so far stays done."""
        self._undos.clear()

    async def compensate(self) -> None:
        """Undo now, the newest first; each call once. One that fails does not stop the others.

        Raises BaseExceptionGroup with what the failed ones raised, after all were tried.
        """
        failed = await self._undo_all()
        if failed:
            raise BaseExceptionGroup("some compensations failed", failed)

    async def __aenter__(self) -> Saga:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        if error is None:
            self.clear()
            return
        failed = await self._undo_all()
        if failed:
            raise BaseExceptionGroup("the block failed, and some of its compensations too", [error, *failed])

    async def _undo_all(self) -> list[BaseException]:
        failed: list[BaseException] = []
        while self._undos:
            undo, args, kwargs = self._undos.pop()
            try:
                result = undo(*args, **kwargs)
                if inspect.isawaitable(result):
                    await result
            except (GeneratorExit, KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                # A second cancellation too: it ends the call that it met, the rest still has to be undone.
                failed.append(error)
        return failed

    def __repr__(self) -> str:
        return f"<Saga with {len(self._undos)} to undo>"
