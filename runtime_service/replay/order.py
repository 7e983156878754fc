"""Tasks and futures whose order in a set is the same in every replay.

``asyncio`` keeps tasks in sets and hands sets to the user (``wait``, ``TaskGroup``), and a set orders by hash, which
for objects is their address. Here the hash is a number that the run and the order of creation determine
(hazard 30). ``as_completed`` puts bare coroutines in a set before it makes tasks of them, so for our loop the name
``set`` in ``asyncio.tasks`` is a function that keeps the order given. Nothing changes for other loops.
Proof: tests/replay/test_replay_order.py.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import builtins
import hashlib
from collections.abc import Coroutine, Iterable
from contextvars import Context
from typing import Any, Protocol

from runtime_service.replay.scope import Scope


class NumberedLoop(Protocol):
    """A loop that numbers what it creates."""

    def next_number(self) -> int: ...


def first_number(run_id: str) -> int:
    """Return where the numbers of a run begin: far from those of other runs, whose tasks share asyncio's global set."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:7], "big")


class ReplayFuture(asyncio.Future[Any]):
    """A future with a number. ``on_cancel`` is told at once, and with what words, when it is cancelled."""

    __slots__ = ("_number", "on_cancel")

    def __init__(self, loop: Any) -> None:
        self._number: int = loop.next_number()
        self.on_cancel: Any = None
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number

    def cancel(self, msg: Any | None = None) -> bool:
        is_cancelled = super().cancel(msg=msg)
        if is_cancelled and self.on_cancel is not None:
            self.on_cancel(msg)
        return is_cancelled


class ReplayTask(asyncio.Task[Any]):
    """A task with a number, and the scope that names what it creates."""

    __slots__ = ("_number", "scope")

    def __init__(
        self, coro: Coroutine[Any, Any, Any], *, loop: Any, name: str, context: Context | None, scope: Scope
    ) -> None:
        self._number: int = loop.next_number()
        self.scope = scope
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._number


def _is_ours(loop: object) -> bool:
    return hasattr(loop, "next_number")


def _gathering_hash(self: Any) -> int:
    """Number the future that ``gather`` returns: it is made by its class, not by the loop."""
    loop = self.get_loop()
    if not _is_ours(loop):
        return object.__hash__(self)
    # Not by ``__dict__``, which a future that is written in C does not show.
    number: int | None = getattr(self, "number", None)
    if number is None:
        number = self.number = loop.next_number()
    return number


def _ordered_set(items: Iterable[Any] = ()) -> Any:
    """Stand in for ``set`` in ``asyncio.tasks``."""
    if _is_ours(asyncio._get_running_loop()):
        unique = dict.fromkeys(items)
        if any(asyncio.iscoroutine(item) for item in unique):
            return list(unique)
        items = unique
    return builtins.set(items)


def install() -> None:
    """Make asyncio's own sets orderly under our loop. Idempotent; process-wide, without effect on other loops."""
    vars(asyncio.tasks)["set"] = _ordered_set
    gathering: Any = vars(asyncio.tasks)["_GatheringFuture"]
    gathering.__hash__ = _gathering_hash
