"""Units of work that wait for a commit, and what becomes of each: the queue in front of a writer, of either engine.

Owns the queue, how many units one commit takes, and the handing back of outcomes. A caller that is cancelled while its
unit waits takes it out; once in a batch it is committed all the same. It must never commit: ``commit.py`` of an engine
does, its ``engine.py`` says when.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from holdfast.refusal import Refusal
from holdfast.v1 import error_pb2
from store_service.engines.contract import Note

U = TypeVar("U")

#: Units in one commit: past this the gain per unit is gone and the first one only waits longer.
BATCH_UNITS_MAX: Final = 256
#: When a caller may try again that met a full queue of writes: about half of the queue is done by then.
RETRY_AFTER_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one unit: its value and notes, or what it raised."""

    value: Any = None
    error: BaseException | None = None
    notes: Sequence[Note] = ()


@dataclass(frozen=True, slots=True)
class Write(Generic[U]):
    """A unit, and the future of the caller that waits for it."""

    unit: U
    done: asyncio.Future[Any]

    def resolve(self, outcome: Outcome) -> None:
        """Hand the outcome to the caller, if it still waits."""
        if self.done.done():
            return
        if outcome.error is None:
            self.done.set_result(outcome.value)
        else:
            self.done.set_exception(outcome.error)


class Waiting(Generic[U]):
    """The writes that wait for one writer, in the order in which they came."""

    def __init__(self) -> None:
        self._writes: deque[Write[U]] = deque()

    def __len__(self) -> int:
        return len(self._writes)

    def add(self, unit: U) -> asyncio.Future[Any]:
        """Let a unit wait; returns what will become of it."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._writes.append(Write(unit, done))
        return done

    def next_batch(self) -> list[Write[U]]:
        """Take the writes of the next commit; those whose caller is gone are dropped."""
        batch: list[Write[U]] = []
        while self._writes and len(batch) < BATCH_UNITS_MAX:
            write = self._writes.popleft()
            if not write.done.done():
                batch.append(write)
        return batch

    def take_all(self) -> list[Write[U]]:
        """Take whatever waits, when nothing will be committed any more."""
        taken = list(self._writes)
        self._writes.clear()
        return taken


def throttled(waiting: int, most: int) -> Refusal:
    """Return what a caller is told that found ``most`` units waiting."""
    return Refusal(
        "THROTTLED",
        f"{waiting} writes wait for a commit, at most {most} may; try again later",
        metadata={"waiting": waiting, "max": most},
        detail=error_pb2.LimitExceeded(limit="pending_writes", max=most, actual=waiting),
        retry_after_ms=RETRY_AFTER_MS,
    )


def closed() -> Refusal:
    """Return what a caller of a closed engine is told."""
    return Refusal("NOT_READY", "the store is closed")


def carriable(error: BaseException) -> BaseException:
    """Return an error as a future can carry it: StopIteration would end the generator that awaits it."""
    if not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError("the unit of work raised StopIteration")
    wrapped.__cause__ = error
    return wrapped
